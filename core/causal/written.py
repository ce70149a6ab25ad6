"""Captions that the model writes, cleanly and with features taken out: whose side they tell, and how likely the clean
model holds their other words.

Most ablations leave most captions as they are. A caption written cleanly is therefore first read under the patch, in
one pass that is resumed above the patch's layer: where the likeliest token is the caption's own at every step, greedy
writing gives the same caption. Only the others are written.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from core.causal.counterparts import telling_spans
from core.causal.interventions import Ablation, during_generation, open_edit_site
from core.causal.pairs import MinimalPair
from core.causal.runs import TOKENS, portions
from core.data.concept import Concept
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.lm.agreement import logits_of
from core.lm.generate import Interventions, generate, stop_ids
from core.lm.loaded import LoadedModel
from core.lm.outcomes import caption_predictions, divergence
from core.lm.patched import TokenBatch, build_batch, run_full, states_from
from core.lm.prompts import CaptionRequest, EncodedSample, UnusableText, encode_sample
from core.lm.streams import CleanStreams


def prompt_of(inputs: AnalysisInputs, loaded: LoadedModel, pair: MinimalPair) -> EncodedSample:
    """The prompt alone; in a study of text only the sample's own text, which the model continues."""
    return pair.caption if pair.caption.image is None else encode_sample(loaded, _request(inputs, pair, ""))


def told_side(concept: Concept, text: str, language: str) -> str | None:
    """The one side that a text tells; null where it tells none, or both."""
    sides = {word.side for word in concept.words(text, language)}
    return sides.pop() if len(sides) == 1 else None


def is_turned(concept: Concept, before: str, text: str, language: str) -> bool:
    """Whether a text tells the other side than `before`, and that alone."""
    return told_side(concept, text, language) not in (None, before)


class Writer:
    """Writes a caption for each pair's prompt, cleanly (`clean`) and with features taken out at one layer."""

    def __init__(self, inputs: AnalysisInputs, view: LayerView, pairs: Sequence[MinimalPair], most: int) -> None:
        self._loaded, self._view, self._most = inputs.open_model(), view, most
        self._prompts = [prompt_of(inputs, self._loaded, pair) for pair in pairs]
        self.clean = generate(self._loaded, self._prompts, most)
        read = [_written(inputs, self._loaded, pair, text) for pair, text in zip(pairs, self.clean, strict=True)]
        self._read = {
            number: sample
            for number, (sample, prompt) in enumerate(zip(read, self._prompts, strict=True))
            if sample is not None and sample.ids[: len(prompt.ids)] == prompt.ids
        }
        self._portions = list(_batched(self._loaded, self._read))
        self._streams = CleanStreams(self._loaded, [batch for _, batch in self._portions])

    def under(self, patches: Sequence[Ablation]) -> list[list[str]]:
        """The captions under each patch, in force at prompt and every step."""
        view = self._view
        texts = [list(self.clean) for _ in patches]
        asked = [(place, number) for place, patch in enumerate(patches) for number in self.changed(patch)]
        changes = [during_generation(view.sae, patch, view.table.norm_limit) for patch in patches]
        force = Interventions(view.layer, [changes[place] for place, _ in asked])
        written = generate(self._loaded, [self._prompts[number] for _, number in asked], self._most, force)
        for (place, number), text in zip(asked, written, strict=True):
            texts[place][number] = text
        return texts

    def changed(self, patch: Ablation) -> list[int]:
        """The captions that are not known to stay as they are under a patch."""
        same: set[int] = set()
        for (some, batch), stream in zip(self._portions, self._streams.after(self._view.layer), strict=True):
            limit = self._view.table.norm_limit
            site = open_edit_site(self._view.sae, stream, batch.segments, batch.patchable(), limit)
            states = states_from(self._loaded, batch, self._view.layer, patch(site))
            same |= {number for number, own in zip(some, states, strict=True) if self._stays(number, own)}
        return [number for number in range(len(self._prompts)) if number not in same]

    def _stays(self, number: int, states: Float[Tensor, "T D"]) -> bool:
        start, ids = len(self._prompts[number].ids), self._read[number].ids
        likeliest = logits_of(self._loaded, states[start - 1 : len(ids)]).argmax(dim=-1).tolist()
        written = ids[start:]
        ended = len(written) == self._most or likeliest[-1] in stop_ids(self._loaded)
        return ended and likeliest[:-1] == written


def other_words_entropy(
    inputs: AnalysisInputs, pairs: Sequence[MinimalPair], texts: Sequence[str]
) -> Float[np.ndarray, " N"]:
    """Mean cross-entropy (nats a token) under the clean model of the words of texts that tell no side, each text
    behind its pair's prompt; NaN for a text without such words. Equal texts behind one prompt run once."""
    loaded = inputs.open_model()
    keys = [(str(pair.caption.image), pair.caption.text, text) for pair, text in zip(pairs, texts, strict=True)]
    first = {key: number for number, key in reversed(list(enumerate(keys)))}
    written = {number: _written(inputs, loaded, pairs[number], texts[number]) for number in first.values()}
    samples = {number: sample for number, sample in written.items() if sample is not None}
    found = dict.fromkeys(first.values(), float("nan"))
    for some, batch in _batched(loaded, samples):
        spans = [_telling(inputs.concept, pairs[number], samples[number]) for number in some]
        states = run_full(loaded, batch)
        predictions = caption_predictions([samples[number] for number in some], spans, loaded.device)
        entropy = divergence(loaded, states, states, predictions).cross_entropy.double().tolist()
        found |= dict(zip(some, entropy, strict=True))
    return np.array([found[first[key]] for key in keys])


def _telling(concept: Concept, pair: MinimalPair, sample: EncodedSample) -> list[tuple[int, int]]:
    given = [(0, len(pair.caption.caption))] if sample.image is None else []
    return [*given, *telling_spans(concept, sample.caption, sample.language, [])]


def _written(inputs: AnalysisInputs, loaded: LoadedModel, pair: MinimalPair, text: str) -> EncodedSample | None:
    """A text behind the pair's prompt; null where there is none, or it cannot be told apart from the prompt."""
    if not text:
        return None
    whole = text if pair.caption.image is not None else f"{pair.caption.caption} {text}"
    try:
        return encode_sample(loaded, _request(inputs, pair, whole))
    except UnusableText:
        return None


def _request(inputs: AnalysisInputs, pair: MinimalPair, text: str) -> CaptionRequest:
    own, instruction = pair.caption, inputs.instructions.get(pair.caption.language, "")
    return CaptionRequest(own.sample_id, own.image_id, own.language, text, instruction, own.image, literal=True)


def _batched(loaded: LoadedModel, samples: dict[int, EncodedSample]) -> Iterator[tuple[list[int], TokenBatch]]:
    numbers = list(samples)
    for some in portions([len(samples[number].ids) for number in numbers], TOKENS):
        chosen = [numbers[index] for index in some]
        yield chosen, build_batch(loaded, [samples[number] for number in chosen])
