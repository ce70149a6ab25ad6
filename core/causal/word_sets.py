"""All words of a lexicon in the place of a minimal pair's: one side's summed probability against the other's.

log Σ p(w) over the words of the concept's first side, each whole and with its end, minus the same over the other
side's. Hundreds of words per caption are affordable on a clean run alone; under a patch those are scored that hold
nearly all of either side's probability in the clean run, with their counterparts, in the rows that the pairs run in.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from torch import Tensor

from core.causal.counterparts import side_of
from core.causal.pairs import MinimalPair, find_swaps
from core.causal.runs import PairRuns, Patch
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.lm.loaded import LoadedModel
from core.lm.many_words import Spelling, lay_out, many_word_log_probs, spelled, word_places
from core.lm.outcomes import WordSequence

CAPTIONS = 2000
"""Captions outside the test split whose words are read."""
FROM_CAPTIONS = 64
"""Pairs of words taken from captions, the most frequent ones."""
HELD, MOST = 0.999, 8
"""Under a patch the fewest words of a side are scored that hold so much of its clean probability, at most so many."""


@dataclass(frozen=True)
class Lexicon:
    """Pairs of words of one language, the first side's before the other's; no word stands on both sides."""

    pairs: tuple[tuple[str, str], ...]

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Every word once, the first side's before the other's."""
        return tuple(dict.fromkeys(word for side in zip(*self.pairs, strict=True) for word in side))

    @cached_property
    def positive(self) -> Bool[np.ndarray, " W"]:
        """Which words are of the first side."""
        first = {word for word, _ in self.pairs}
        return np.array([word in first for word in self.words])

    @cached_property
    def counterparts(self) -> Bool[np.ndarray, "W W"]:
        """Which words are each other's counterparts."""
        place = {word: number for number, word in enumerate(self.words)}
        found = np.zeros((len(place), len(place)), dtype=bool)
        for one, other in self.pairs:
            found[place[one], place[other]] = found[place[other], place[one]] = True
        return found


def lexicon_of(inputs: AnalysisInputs, language: str) -> Lexicon:
    """The concept's listed pairs of a language, and those of the study's captions outside the test split."""
    samples = inputs.samples.filter(pl.col("split") != "test").head(CAPTIONS)
    counts: Counter[tuple[str, str]] = Counter()
    twins = {row["sample_id"]: row for row in inputs.samples.iter_rows(named=True)}
    for row in samples.iter_rows(named=True):
        caption, label = row[f"caption_{language}"], row[inputs.concept.label_column(language)]
        if caption is None or label not in inputs.concept.sides:
            continue
        for swap in find_swaps(inputs, row, twins.get(row.get("twin_id")), language):
            own, span = caption[swap.start : swap.end], (swap.start, swap.end)
            side = side_of(inputs.concept, caption, span, language) or label
            counts[(own, swap.other) if side == inputs.concept.sides[0] else (swap.other, own)] += 1
    frequent = sorted(counts, key=lambda pair: (-counts[pair], pair))[:FROM_CAPTIONS]
    return of_pairs([*inputs.concept.pairs(language), *frequent])


def of_pairs(pairs: Iterable[tuple[str, str]]) -> Lexicon:
    """A lexicon of pairs without those that have a word of both sides."""
    known = tuple(dict.fromkeys(pairs))
    both = {one for one, _ in known} & {other for _, other in known}
    return Lexicon(tuple(pair for pair in known if not both.intersection(pair)))


def side_odds(log_probs: Float[np.ndarray, "N W"], positive: Bool[np.ndarray, " W"]) -> Float[np.ndarray, " N"]:
    """log Σ p over the first side's words − log Σ p over the other's; NaN where a side has no word (−inf)."""
    one, other = (np.logaddexp.reduce(log_probs[:, side], axis=1) for side in (positive, ~positive))
    return np.asarray(np.where(np.isfinite(one) & np.isfinite(other), one, np.nan) - other)


def kept_words(log_probs: Float[np.ndarray, "N W"], lexicon: Lexicon) -> Bool[np.ndarray, "N W"]:
    """The fewest words of each side that hold `HELD` of its probability, `MOST` at most, and their counterparts."""
    kept = np.zeros(log_probs.shape, dtype=bool)
    for side in (lexicon.positive, ~lexicon.positive):
        own = np.where(side, log_probs, -np.inf)
        p = np.exp(own - np.maximum(own.max(axis=1, keepdims=True), -1e300))
        order = np.argsort(-p, axis=1, kind="stable")
        sorted_p = np.take_along_axis(p, order, axis=1)
        before = np.cumsum(sorted_p, axis=1) - sorted_p
        needed = (before < HELD * p.sum(axis=1, keepdims=True)) & (np.arange(p.shape[1]) < MOST) & (sorted_p > 0)
        np.put_along_axis(kept, order, needed | np.take_along_axis(kept, order, axis=1), axis=1)
    partners = (kept.astype(np.uint16) @ lexicon.counterparts.astype(np.uint16)) > 0
    return np.asarray((kept | partners) & np.isfinite(log_probs))


class WordRuns:
    """Some of a lexicon's words behind each pair's prefix: `words[i]` are the spellings of pair i, null where a word is
    not asked for there."""

    def __init__(
        self,
        loaded: LoadedModel,
        pairs: Sequence[MinimalPair],
        ends: Bool[Tensor, " V"],
        words: Sequence[Sequence[Spelling | None]],
    ) -> None:
        self._loaded, self._ends = loaded, ends
        self._asked = np.array([[word is not None for word in own] for own in words])
        layouts = [
            lay_out([word for word in own if word is not None], [_own(pair.positive), _own(pair.negative)])
            for pair, own in zip(pairs, words, strict=True)
        ]
        self.pairs = PairRuns(loaded, pairs, ends, [layout.continuations[2:] for layout in layouts])
        """The pairs' own words, in the same rows."""
        self._places = [
            word_places([layouts[i] for i in some], [pairs[i].prefix_length for i in some], starts, loaded.device)
            for (some, _), starts in zip(self.pairs.batches(), self.pairs.starts(), strict=True)
        ]

    def log_probs(self, states: Iterable[Float[Tensor, "B T D"]]) -> Float[np.ndarray, "N W"]:
        """log p of every whole word, given the final norm's output; −inf where it is not asked for."""
        found: Float[np.ndarray, "N W"] = np.where(self._asked, -np.inf, -np.inf)
        for (some, _), places, own in zip(self.pairs.batches(), self._places, states, strict=True):
            pair, word = np.nonzero(self._asked[list(some)])
            scores = many_word_log_probs(self._loaded, own, places, self._ends).cpu().numpy()
            found[np.array(some)[pair], word] = scores
        return found

    def tokens(self) -> float:
        """Tokens per row, the prefix included, on average."""
        return float(np.mean([int(length) for _, batch in self.pairs.batches() for length in batch.lengths]))


class WordSets:
    """A lexicon's sides behind minimal pairs: whole on clean runs, `kept` words in all runs."""

    def __init__(
        self, loaded: LoadedModel, pairs: Sequence[MinimalPair], ends: Bool[Tensor, " V"], lexicon: Lexicon
    ) -> None:
        self.lexicon = lexicon
        words = [spelled(loaded, pair.positive, lexicon.words) for pair in pairs]
        self.whole = WordRuns(loaded, pairs, ends, words)
        top = loaded.shape.num_layers - 1
        self.clean = self.whole.log_probs(self.whole.pairs.final_states(top, self.whole.pairs.streams(top)))
        """log p of every word on the clean run."""
        self.is_kept = kept_words(self.clean, lexicon)
        chosen = [
            [word if keep else None for word, keep in zip(own, keeps, strict=True)]
            for own, keeps in zip(words, self.is_kept, strict=True)
        ]
        self.kept = WordRuns(loaded, pairs, ends, chosen)

    def odds(self, states: Iterable[Float[Tensor, "B T D"]]) -> Float[np.ndarray, " N"]:
        """The sides' log odds over the kept words, given the final norm's output of `kept.pairs`."""
        return side_odds(self.kept.log_probs(states), self.lexicon.positive)

    def whole_shift(self, opened: LayerView, patch: Patch) -> Float[np.ndarray, " N"]:
        """How far a patch shifts the sides' log odds over all words."""
        sites = self.whole.pairs.sites(opened)
        states = self.whole.pairs.final_states(opened.layer, [patch(site) for site in sites])
        patched = side_odds(self.whole.log_probs(states), self.lexicon.positive)
        return np.asarray(patched - side_odds(self.clean, self.lexicon.positive))

    def held(self) -> Float[np.ndarray, " N"]:
        """The share of the probability of the side that holds less which the kept words have, on the clean run."""
        p = np.exp(self.clean - np.maximum(self.clean.max(axis=1, keepdims=True), -1e300))
        shares = [
            (p * self.is_kept)[:, side].sum(axis=1) / np.maximum(p[:, side].sum(axis=1), 1e-300)
            for side in (self.lexicon.positive, ~self.lexicon.positive)
        ]
        return np.asarray(np.minimum(*shares))


def _own(word: WordSequence) -> Spelling:
    return tuple(word.sample.ids[word.start :])
