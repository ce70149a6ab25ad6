"""Captions written with features taken out, beside those that are written cleanly.

Most ablations leave most captions as they are. A caption written cleanly is therefore first read under the patch, in
one pass that is resumed above the patch's layer: where the likeliest token is the caption's own at every step, greedy
writing gives the same caption. Only the others are written.
"""

from collections.abc import Iterator, Sequence

from jaxtyping import Float
from torch import Tensor

from core.causal.interventions import Ablation, during_generation, open_edit_site
from core.causal.pairs import MinimalPair
from core.causal.runs import TOKENS, portions
from core.causal.written import behind, prompt_of
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.lm.agreement import logits_of
from core.lm.generate import Interventions, generate, stop_ids
from core.lm.loaded import LoadedModel
from core.lm.patched import TokenBatch, build_batch, states_from
from core.lm.prompts import EncodedSample
from core.lm.streams import CleanStreams


class Rewriter:
    """Writes a caption per prompt (`prompts`), cleanly (`clean`) and with features taken out at one layer."""

    def __init__(self, inputs: AnalysisInputs, view: LayerView, pairs: Sequence[MinimalPair], most: int) -> None:
        self._loaded, self._view, self._most = inputs.open_model(), view, most
        self.prompts = [prompt_of(inputs, self._loaded, pair) for pair in pairs]
        self.clean = generate(self._loaded, self.prompts, most)
        read = [
            behind(inputs, self._loaded, prompt, text) for prompt, text in zip(self.prompts, self.clean, strict=True)
        ]
        self._read = {
            number: sample
            for number, (sample, prompt) in enumerate(zip(read, self.prompts, strict=True))
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
        written = generate(self._loaded, [self.prompts[number] for _, number in asked], self._most, force)
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
        return [number for number in range(len(self.prompts)) if number not in same]

    def _stays(self, number: int, states: Float[Tensor, "T D"]) -> bool:
        start, ids = len(self.prompts[number].ids), self._read[number].ids
        likeliest = logits_of(self._loaded, states[start - 1 : len(ids)]).argmax(dim=-1).tolist()
        written = ids[start:]
        ended = len(written) == self._most or likeliest[-1] in stop_ids(self._loaded)
        return ended and likeliest[:-1] == written


def _batched(loaded: LoadedModel, samples: dict[int, EncodedSample]) -> Iterator[tuple[list[int], TokenBatch]]:
    numbers = list(samples)
    for some in portions([len(samples[number].ids) for number in numbers], TOKENS):
        chosen = [numbers[index] for index in some]
        yield chosen, build_batch(loaded, [samples[number] for number in chosen])
