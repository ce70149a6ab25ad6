"""How the model goes on with a text while a feature is added to its stream, beside how it goes on by itself.

One greedy continuation is an example: whether a feature turns the model towards a concept is what the output score
measures (`core.concepts.output_score`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from jaxtyping import Float
from torch import Tensor

from core.causal.interventions import Steering, during_generation
from core.concepts.output_score import Promoted
from core.errors import BadInput
from core.lm.generate import Intervention, generate
from core.lm.loaded import LoadedModel
from core.lm.prompts import CaptionRequest, encode_sample
from core.sae.architectures import SparseAutoencoder
from core.study.language import Language

CONTINUED = pl.Schema({"text": pl.String, "clean": pl.String, "steered": pl.String, "other_feature": pl.String})
"""One row a text: what follows it by itself, with the feature, and with another feature of the same SAE that fires as
often, as long a vector; null where there is none."""


@dataclass(frozen=True)
class Steered:
    """What is continued: `texts` of a language by `most` tokens each, with the vectors times `dose`."""

    texts: Sequence[str]
    language: Language
    dose: float
    most: int


def continuations(loaded: LoadedModel, sae: SparseAutoencoder, promoted: Promoted, asked: Steered) -> pl.DataFrame:
    """Rows of `CONTINUED`: the likeliest tokens behind each text, which stands behind BOS alone as in a scan.

    Args:
        loaded: the model.
        sae: of the feature, on the stream.
        promoted: the feature's vector and those of comparable ones.
        asked: what is continued, and how.

    Raises:
        BadInput: a text is empty, or nothing can be written with the model.
    """
    if not all(text.strip() for text in asked.texts):
        raise BadInput("--prompt: is empty; name the beginning of a sentence")
    requests = [CaptionRequest(text, text, asked.language, text.strip(), literal=True) for text in asked.texts]
    prompts = [encode_sample(loaded, request) for request in requests]

    def steered(vector: Float[Tensor, " D"]) -> list[str]:
        change = during_generation(sae, Steering(vector * asked.dose))
        return generate(loaded, prompts, asked.most, Intervention(promoted.layer, change))

    other = steered(promoted.controls[0]) if len(promoted.controls) else [None] * len(prompts)
    columns = (list(asked.texts), generate(loaded, prompts, asked.most), steered(promoted.vector), other)
    return pl.DataFrame(list(columns), schema=CONTINUED)
