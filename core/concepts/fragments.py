"""Every beginning of a sentence, read off one causal pass.

A causal decoder's stream at token t knows tokens 0 … t alone, so that it equals the stream at the last token of a pass
over those tokens: one pass a sentence stands for a pass a beginning.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from core.activations.passes import capture_batch
from core.lm.loaded import LoadedModel
from core.lm.prefix import CaptionGroup
from core.lm.prompts import CaptionRequest, encode_sample
from core.study.sites import STREAM, Site


@dataclass(frozen=True)
class Fragments:
    """A sentence token by token: `texts[t]` is what its first t + 1 tokens spell, `states[layer][t]` the site there.

    A token that is only part of a character has the text up to that character's end.
    """

    texts: tuple[str, ...]
    states: dict[int, Float[Tensor, "T D"]]


def read_fragments(
    loaded: LoadedModel, sentences: Sequence[str], layers: Sequence[int], site: Site = STREAM, token_budget: int = 4096
) -> list[Fragments]:
    """The fragments of each sentence, behind BOS alone, from one pass a sentence.

    Raises:
        UnusableText: a sentence holds one of the model's control tokens.
        ValueError: a sentence is empty.
    """
    samples = [
        encode_sample(loaded, CaptionRequest(f"sentence {number}", "", "", sentence))
        for number, sentence in enumerate(sentences, start=1)
    ]
    empty = next((sample.sample_id for sample in samples if not sample.caption_ids), None)
    if empty is not None:
        raise ValueError(f"{empty}: is empty")
    groups = [CaptionGroup(sample.sample_id, (sample,), 0) for sample in samples]
    states = capture_batch(loaded, groups, layers, token_budget, site)
    found = []
    for number, sample in enumerate(samples):
        ends = [span[1] for span in sample.spans if span is not None]
        own = {layer: state[sample.prefix_length :] for layer, state in states[number, 0].items()}
        found.append(Fragments(tuple(sample.caption[:end] for end in ends), own))
    return found
