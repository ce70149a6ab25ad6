"""Runs of minimal pairs and of whole captions, clean and patched, batched so that many patches are affordable."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.causal.interventions import EditSite, open_edit_site
from core.causal.pairs import MinimalPair
from core.features.layer_view import LayerView
from core.lm.loaded import LoadedModel
from core.lm.many_words import Spelling, extended
from core.lm.outcomes import (
    Divergence,
    Predictions,
    WordTargets,
    caption_predictions,
    divergence,
    forked,
    word_log_probs,
    word_targets,
)
from core.lm.patched import TokenBatch, build_batch, states_from
from core.lm.prompts import EncodedSample
from core.lm.streams import CleanStreams

TOKENS = 4096
"""Most tokens (padding included) in one pass, unless one sequence alone has more."""
Patch = Callable[[EditSite], Float[Tensor, "B T D"]]


@dataclass(frozen=True)
class _Portion:
    """Pairs that run together, a row each: the prefix once, then the words, none of which sees another."""

    pairs: tuple[int, ...]
    batch: TokenBatch
    starts: list[list[int]]
    positive: WordTargets
    negative: WordTargets


class PairRuns:
    """Minimal pairs in batches; every number comes in the pairs' order.

    `more` are further words behind each pair's prefix, which run in the same row (`core.causal.word_sets`).
    """

    def __init__(
        self,
        loaded: LoadedModel,
        pairs: Sequence[MinimalPair],
        ends: Bool[Tensor, " V"],
        more: Sequence[Sequence[Spelling]] | None = None,
    ) -> None:
        self._loaded, self._ends = loaded, ends
        self.pairs = tuple(pairs)
        self._more = [[] for _ in pairs] if more is None else more
        lengths = [
            len(pair.positive.sample.ids) + len(pair.negative.sample.ids) - pair.negative.start + sum(map(len, words))
            for pair, words in zip(pairs, self._more, strict=True)
        ]
        self._portions = [self._portion(chosen) for chosen in portions(lengths, TOKENS)]
        self._clean = CleanStreams(loaded, [portion.batch for portion in self._portions])

    def _portion(self, chosen: list[int]) -> _Portion:
        pairs = [self.pairs[index] for index in chosen]
        batch, starts = forked_batch(self._loaded, pairs, [self._more[index] for index in chosen])
        positive = word_targets([pair.positive for pair in pairs], self._loaded.device)
        negative = word_targets([pair.negative for pair in pairs], self._loaded.device, [own[1] for own in starts])
        return _Portion(tuple(chosen), batch, starts, positive, negative)

    def batches(self) -> list[tuple[tuple[int, ...], TokenBatch]]:
        """Which pairs run together, and their batch."""
        return [(part.pairs, part.batch) for part in self._portions]

    def starts(self) -> list[list[list[int]]]:
        """Where each row's words start, those of the pair before further ones, portion by portion."""
        return [part.starts for part in self._portions]

    def streams(self, layer: int) -> list[Float[Tensor, "B T D"]]:
        """The clean stream after block `layer`, portion by portion."""
        return self._clean.after(layer)

    def sites(self, opened: LayerView) -> list[EditSite]:
        """Where patches at a layer apply, portion by portion."""
        parts = zip(self._portions, self.streams(opened.layer), strict=True)
        return [_site(opened, part.batch, stream) for part, stream in parts]

    def log_odds(self, layer: int, streams: Sequence[Float[Tensor, "B T D"]]) -> Float[np.ndarray, " N"]:
        """log p(word of the first side) − log p(word of the other), pair by pair, where the stream after `layer` is
        `streams`."""
        return self.odds(self.final_states(layer, streams))

    def final_states(self, layer: int, streams: Sequence[Float[Tensor, "B T D"]]) -> Iterator[Float[Tensor, "B T D"]]:
        """The final norm's output where the stream after `layer` is `streams`, portion by portion."""
        for portion, stream in zip(self._portions, streams, strict=True):
            yield states_from(self._loaded, portion.batch, layer, stream)

    def odds(self, states: Iterable[Float[Tensor, "B T D"]]) -> Float[np.ndarray, " N"]:
        """`log_odds`, given the final norm's output."""
        odds = np.empty(len(self.pairs), dtype=np.float64)
        for portion, own in zip(self._portions, states, strict=True):
            positive, negative = (
                word_log_probs(self._loaded, own, targets, self._ends).double()
                for targets in (portion.positive, portion.negative)
            )
            odds[list(portion.pairs)] = (positive - negative).cpu().numpy()
        return odds

    def patched(self, layer: int, sites: Sequence[EditSite], patch: Patch) -> Float[np.ndarray, " N"]:
        """`log_odds` with a patch applied at every site."""
        return self.log_odds(layer, [patch(site) for site in sites])


def forked_batch(
    loaded: LoadedModel, pairs: Sequence[MinimalPair], more: Sequence[Sequence[Spelling]] | None = None
) -> tuple[TokenBatch, list[list[int]]]:
    """Pairs as one batch, a row each: the prefix, the word of the first side, that of the other, and further words of
    each; and the tokens of each row at which its words start."""
    rows, starts = [], []
    for pair, words in zip(pairs, [[] for _ in pairs] if more is None else more, strict=True):
        row, fork = forked(pair.positive, pair.negative)
        row, further = extended(row, words) if words else (row, [])
        rows.append(row)
        starts.append([*fork, *further])
    return build_batch(loaded, rows, starts), starts


@dataclass(frozen=True)
class _Captions:
    """Whole captions that run together, and the predictions compared."""

    samples: tuple[int, ...]
    batch: TokenBatch
    predictions: Predictions


class CaptionRuns:
    """Whole captions in batches, watched at all words that do not tell the side."""

    def __init__(self, loaded: LoadedModel, pairs: Sequence[MinimalPair]) -> None:
        self._loaded = loaded
        self._count = len(pairs)
        lengths = [len(pair.caption.ids) for pair in pairs]
        self._portions = [self._portion([pairs[index] for index in some], some) for some in portions(lengths, TOKENS)]
        self._clean = CleanStreams(loaded, [portion.batch for portion in self._portions])

    def _portion(self, pairs: Sequence[MinimalPair], chosen: list[int]) -> _Captions:
        samples: list[EncodedSample] = [pair.caption for pair in pairs]
        predictions = caption_predictions(samples, [pair.telling for pair in pairs], self._loaded.device)
        return _Captions(tuple(chosen), build_batch(self._loaded, samples), predictions)

    def sites(self, opened: LayerView) -> list[EditSite]:
        """Where patches at a layer apply, portion by portion."""
        parts = zip(self._portions, self._clean.after(opened.layer), strict=True)
        return [_site(opened, part.batch, stream) for part, stream in parts]

    def batches(self) -> list[tuple[tuple[int, ...], TokenBatch]]:
        """Which captions run together, and their batch."""
        return [(part.samples, part.batch) for part in self._portions]

    def clean_states(self, layer: int, sites: Sequence[EditSite]) -> list[Float[Tensor, "B T D"]]:
        """The final norm's clean output, portion by portion."""
        parts = zip(self._portions, sites, strict=True)
        return [states_from(self._loaded, part.batch, layer, site.stream) for part, site in parts]

    def divergence(
        self, layer: int, sites: Sequence[EditSite], clean: Sequence[Float[Tensor, "B T D"]], patch: Patch
    ) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
        """KL(clean ‖ patched) and cross-entropy at the words that tell no side, nats per token, caption by caption."""
        kl, entropy = np.empty(self._count), np.empty(self._count)
        for part, site, before in zip(self._portions, sites, clean, strict=True):
            after = states_from(self._loaded, part.batch, layer, patch(site))
            found: Divergence = divergence(self._loaded, before, after, part.predictions)
            kl[list(part.samples)] = found.kl.cpu().numpy()
            entropy[list(part.samples)] = found.cross_entropy.cpu().numpy()
        return kl, entropy


def _site(opened: LayerView, batch: TokenBatch, stream: Float[Tensor, "B T D"]) -> EditSite:
    return open_edit_site(opened.sae, stream, batch.segments, batch.patchable(), opened.table.norm_limit)


def portions(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Sort sequences by length and cut them into portions of at most `tokens` tokens once padded."""
    cut: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (lengths[index], index)):
        if cut and (len(cut[-1]) + 1) * lengths[index] <= tokens:
            cut[-1].append(index)
        else:
            cut.append([index])
    return cut


def relative_norms(sites: Sequence[EditSite], delta: Callable[[EditSite], Float[Tensor, "R D"]]) -> float:
    """Mean ‖Δx‖ / ‖x‖ over all positions that the patches reach."""
    parts = [part for norms in (added_norms(site, delta(site)) for site in sites) for part in norms.values()]
    total, count = sum(part.relative for part in parts), sum(part.count for part in parts)
    return total / max(count, 1)


@dataclass(frozen=True)
class AddedNorms:
    """‖Δx‖ (units of the stream) and ‖Δx‖ / ‖x‖ summed over `count` positions."""

    norm: float
    relative: float
    count: int

    def __add__(self, other: "AddedNorms") -> "AddedNorms":
        return AddedNorms(self.norm + other.norm, self.relative + other.relative, self.count + other.count)


def added_norms(site: EditSite, delta: Float[Tensor, "R D"]) -> dict[int, AddedNorms]:
    """How much a patch adds, by the code of the segment (`core.lm.patched`), over the positions reached."""
    norm = delta.float().norm(dim=-1).double()
    relative = torch.nan_to_num(norm / site.norms().clamp(min=1e-30))
    return {
        code: AddedNorms(float(norm[at].sum()), float(relative[at].sum()), int(at.sum()))
        for code in sorted(set(site.segments.tolist()))
        for at in [site.segments == code]
    }
