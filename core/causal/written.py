"""Captions written while the stream is patched, and how likely the clean model finds them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.causal.counterparts import telling_spans
from core.causal.interventions import Ablation, Steering, during_generation, within
from core.causal.pairs import MinimalPair
from core.causal.runs import TOKENS, portions
from core.data.caption_sets import told
from core.data.concept import Concept
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.lm.agreement import logits_of
from core.lm.generate import Change, Intervention, Interventions, generate
from core.lm.loaded import LoadedModel
from core.lm.outcomes import LOGIT_BYTES, Predictions, caption_predictions
from core.lm.patched import build_batch, run_full
from core.lm.prompts import CaptionRequest, EncodedSample, Span, UnusableText, encode_sample


class Cost(NamedTuple):
    """Mean −log p of a caption's tokens, nats per token: of `all` tokens, and of those of the `other` words, which do
    not tell the concept; NaN without any token."""

    all: float
    other: float


NOTHING = Cost(math.nan, math.nan)


def prompt_of(inputs: AnalysisInputs, loaded: LoadedModel, pair: MinimalPair) -> EncodedSample:
    """The prompt alone; in a study of text only the sample's own text, which the model continues."""
    if pair.caption.image is None:
        return pair.caption
    own = pair.caption
    instruction = inputs.instructions.get(own.language, "")
    return encode_sample(loaded, CaptionRequest(own.sample_id, own.image_id, own.language, "", instruction, own.image))


def written(
    loaded: LoadedModel,
    opened: LayerView,
    prompts: Sequence[EncodedSample],
    most: int,
    patch: Ablation | Steering | None = None,
) -> list[str]:
    """Greedy captions of at most `most` tokens, in the prompts' order, with a patch in force at every step.

    Raises:
        BadInput: nothing can be written with the model.
    """
    if patch is None:
        return generate(loaded, prompts, most)
    change = during_generation(opened.sae, patch, opened.table.norm_limit)
    return generate(loaded, prompts, most, Intervention(opened.layer, change))


def told_side(concept: Concept, text: str, language: str) -> str | None:
    """The one side that a text tells; null where it tells none, or both."""
    side = told(concept, text, language)
    return side if side in concept.sides else None


def is_turned(concept: Concept, before: str, text: str, language: str) -> bool:
    """Whether a text tells the other side than `before`, and that alone."""
    return told_side(concept, text, language) not in (None, before)


def written_each(
    loaded: LoadedModel,
    opened: LayerView,
    prompts: Sequence[EncodedSample],
    added: Float[Tensor, "N D"],
    most: int,
) -> list[str]:
    """Greedy captions, each with a vector of its own added at every step: a row is what `written` gives with `Steering`
    of its vector."""
    changes = [_adding(vector, opened.table.norm_limit) for vector in added]
    return generate(loaded, prompts, most, Interventions(opened.layer, changes))


def _adding(added: Float[Tensor, " D"], limit: float) -> Change:
    """Where `core.causal.interventions.during_generation` reaches, without reading features."""

    def change(stream: Float[Tensor, "B T D"], reach: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        near = within(stream, limit)
        if stream.shape[1] > 1:  # the prompt itself, whose last position is changed whatever its norm
            near[:, -1] = True
        patched: Tensor = stream + added.to(stream) * (reach & near)[..., None]
        return patched

    return change


def clean_costs(
    inputs: AnalysisInputs,
    loaded: LoadedModel,
    prompts: Sequence[EncodedSample],
    texts: Sequence[str],
) -> list[Cost]:
    """What each text costs the model without any patch behind its prompt, what the prompt of a study of text holds left
    out; each distinct caption is run once."""
    known: dict[tuple[str, str, str, str], Cost] = {}
    keys = [
        (prompt.image_id, prompt.language, prompt.caption, text) for prompt, text in zip(prompts, texts, strict=True)
    ]
    samples = [behind(inputs, loaded, prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
    distinct = {key: sample for key, sample in zip(keys, samples, strict=True) if sample is not None}
    encoded, names = list(distinct.values()), list(distinct)
    for some in portions([len(sample.ids) for sample in encoded], TOKENS):
        given: list[list[Span]] = [[(0, len(names[index][2]))] for index in some]
        costs = _costs(inputs, loaded, [encoded[index] for index in some], given)
        known |= {names[index]: cost for index, cost in zip(some, costs, strict=True)}
    return [known.get(key, NOTHING) for key in keys]


def behind(inputs: AnalysisInputs, loaded: LoadedModel, prompt: EncodedSample, text: str) -> EncodedSample | None:
    """The text behind the study's own instruction, whatever instruction it was written by; in a study of text, behind
    the sample's own. Null where it is empty, or cannot be told apart from the prompt."""
    if not text:
        return None
    whole = text if prompt.image is not None else f"{prompt.caption} {text}"
    instruction = inputs.instructions.get(prompt.language, "")
    fields = (prompt.sample_id, prompt.image_id, prompt.language, whole, instruction, prompt.image)
    try:
        return encode_sample(loaded, CaptionRequest(*fields, literal=True))
    except UnusableText:
        return None


def _costs(
    inputs: AnalysisInputs, loaded: LoadedModel, samples: Sequence[EncodedSample], given: Sequence[list[Span]]
) -> list[Cost]:
    states = run_full(loaded, build_batch(loaded, samples))
    telling: list[list[Span]] = [
        [*own, *telling_spans(inputs.concept, sample.caption, sample.language, [])]
        for own, sample in zip(given, samples, strict=True)
    ]
    both = []
    for left_out in (given, telling):
        predictions = caption_predictions(samples, left_out, loaded.device)
        both.append(_row_means(_surprisal(loaded, states, predictions), predictions, len(samples)))
    return [Cost(*pair) for pair in zip(*both, strict=True)]


def _surprisal(loaded: LoadedModel, states: Float[Tensor, "B T D"], predictions: Predictions) -> Float[Tensor, " n"]:
    """−log p of each predicted token, nats."""
    size = max(1, LOGIT_BYTES // (4 * loaded.unembedding.shape[0]))
    parts = [torch.zeros(0, device=states.device)]
    for start in range(0, predictions.row.numel(), size):
        some = slice(start, start + size)
        logits = logits_of(loaded, states[predictions.row[some], predictions.position[some]]).float()
        parts.append(torch.nn.functional.cross_entropy(logits, predictions.token[some], reduction="none"))
    return torch.cat(parts)


def _row_means(values: Float[Tensor, " n"], predictions: Predictions, rows: int) -> list[float]:
    totals = torch.zeros(2, rows, dtype=torch.float64, device=values.device)
    totals.index_add_(1, predictions.row, torch.stack([values, torch.ones_like(values)]).double())
    means: list[float] = (totals[0] / totals[1]).tolist()
    return means
