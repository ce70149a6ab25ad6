"""Minimal pairs: a caption's word for a concept and its counterpart, behind one and the same prefix."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Int

from core.causal.counterparts import (
    Span,
    Swap,
    side_of,
    swaps_by_lexicon,
    swaps_by_truth,
    swaps_by_twin,
    telling_spans,
)
from core.data.concept import Concept
from core.features.inputs import AnalysisInputs
from core.lm.loaded import LoadedModel
from core.lm.outcomes import WordSequence, cut_after_word
from core.lm.prompts import CaptionRequest, EncodedSample, UnusableText, encode_sample
from core.stats.estimate import number_of

Which = Literal["first", "later"]


@dataclass(frozen=True)
class MinimalPair:
    """One caption of an image in one language, cut after its word for the concept, on either side.

    `positive` ends in the word of the concept's first side, `negative` in that of the other; the caption's own word is
    of `side`, whatever the caption's label, and `sign` is +1 where the other side is the first. `telling` are all words
    that may tell the side; `twin_image` is the same scene on the other side, where there is one.
    """

    caption: EncodedSample
    positive: WordSequence
    negative: WordSequence
    side: str
    sign: int
    telling: tuple[Span, ...]
    twin_image: Path | None

    @property
    def image_id(self) -> str:
        """The image that the caption speaks of; its captions are averaged."""
        return self.caption.image_id

    @property
    def sample_id(self) -> str:
        """The caption."""
        return self.caption.sample_id

    @property
    def prefix_length(self) -> int:
        """Tokens before the word."""
        return self.positive.start

    def with_twin_image(self) -> "MinimalPair":
        """The same words behind the twin's image."""
        positive, negative = (
            replace(word, sample=replace(word.sample, image=self.twin_image)) for word in (self.positive, self.negative)
        )
        return replace(self, positive=positive, negative=negative)


@dataclass(frozen=True)
class Chosen:
    """Images of a split, one of each unit, alternating in side, and what was left out, counted by reason.

    `rows` are the images' first captions of the concept, one row per image; `captions` are all captions of theirs, for
    what is measured on captions is averaged within the image.
    """

    rows: pl.DataFrame
    captions: pl.DataFrame
    left_out: Mapping[str, int]


def choose_samples(inputs: AnalysisInputs, images: int, split: str = "test") -> Chosen:
    """Draw up to `images` images of a split that show the concept (by seed), as many of either side as can be had.

    An image and its twin are one unit, of which one is taken. An image is on the side of its first caption on one.
    """
    concept = inputs.concept
    side = pl.coalesce(*(_clear(concept, language) for language in inputs.languages)).alias("_side")
    captions = inputs.samples.filter(pl.col("split") == split).with_columns(side)
    known = captions.filter(pl.col("_side").is_not_null()).unique("image_id", keep="first", maintain_order=True)
    unclear = captions["image_id"].n_unique() - known.height
    left_out = {f"caption names no single {concept.name}": unclear}
    column, hidden = concept.shown
    if column in known.columns:
        shown = (pl.col(column) != hidden).fill_null(True)
        left_out[f"person shows no {concept.name}"] = known.filter(~shown).height
        known = known.filter(shown)
    picked = _one_a_unit(known, inputs.units(known["image_id"].to_list()), concept.sides, images, inputs.seed)
    rows = picked.drop("_side").sort("image_id")
    every = captions.drop("_side").filter(pl.col("image_id").is_in(rows["image_id"].implode()))
    return Chosen(rows, every.sort("image_id", "sample_id"), {key: n for key, n in left_out.items() if n})


def _clear(concept: Concept, language: str) -> pl.Expr:
    label = pl.col(concept.label_column(language))
    return pl.when(label.is_in(list(concept.sides))).then(label)


def _one_a_unit(
    known: pl.DataFrame, units: Int[np.ndarray, " n"], sides: tuple[str, str], images: int, seed: int
) -> pl.DataFrame:
    """Twins are one observation twice: one image of each unit is taken, the side that has fewer so far first."""
    order = np.random.default_rng(seed).permutation(known.height)
    taken: list[int] = []
    seen: set[int] = set()
    counts = Counter(dict.fromkeys(sides, 0))
    of_side = known["_side"].to_list()
    for rare_first in (True, False):  # a second round takes what is left, though it be on the commoner side
        for index in map(int, order):
            commoner = counts[of_side[index]] > min(counts.values())
            if len(taken) == images or int(units[index]) in seen or (rare_first and commoner):
                continue
            taken.append(index)
            seen.add(int(units[index]))
            counts[of_side[index]] += 1
    return known[sorted(taken)]


def find_pairs(
    inputs: AnalysisInputs, loaded: LoadedModel, rows: pl.DataFrame, language: str, which: Which = "first"
) -> tuple[list[MinimalPair], Counter[str]]:
    """Each caption's first (or second) word for the concept and its counterpart; and the reasons why some have none.

    `rows` are captions (`Chosen.captions`): an image may have several.
    """
    pairs: list[MinimalPair] = []
    reasons: Counter[str] = Counter()
    concept = inputs.concept
    twins = {row["sample_id"]: row for row in inputs.samples.iter_rows(named=True)}
    for row in rows.iter_rows(named=True):
        twin = twins.get(row["twin_id"]) if row.get("twin_id") else None
        if row[f"caption_{language}"] is None or row[concept.label_column(language)] not in concept.sides:
            reasons[f"{language}: no caption of one {concept.name}"] += 1
            continue
        swaps = find_swaps(inputs, row, twin, language)
        pair = _pair(inputs, loaded, (row, twin), language, swaps, which)
        if isinstance(pair, str):
            reasons[f"{language}: {pair}"] += 1
        else:
            pairs.append(pair)
    return pairs, reasons


def shared_contexts(pairs: Sequence[MinimalPair], language: str, counted: str = "images") -> list[str]:
    """A note where images share all that stands before the word: they are one context, not several."""
    contexts = {context_of(pair) for pair in pairs}
    images = len({pair.image_id for pair in pairs})
    if len(contexts) >= images:
        return []
    different = number_of(len(contexts), "different context")
    return [
        f"{language}: the {images} measured {counted} have {different} before the word; those that share one are one "
        "unit of intervals and tests."
    ]


def context_of(pair: MinimalPair) -> Hashable:
    """What stands before a pair's word: the image and the tokens."""
    return str(pair.caption.image), tuple(pair.positive.sample.ids[: pair.prefix_length])


def find_swaps(
    inputs: AnalysisInputs, row: Mapping[str, Any], twin: Mapping[str, Any] | None, language: str
) -> list[Swap]:
    """The words that the other side changes: by the twin's caption, the planted truth, or a lexicon.

    A twin whose caption differs before the concept's word (in another place, by another name) shows no such words.
    """
    concept, caption = inputs.concept, row[f"caption_{language}"]
    other = _opposite_caption(concept, row, twin, language)
    if other is not None:
        swaps = swaps_by_twin(caption, other)
        if swaps and _is_spoken(concept, caption, swaps[0], language):
            return swaps
    planted = swaps_by_truth(concept, inputs.truth, row["sample_id"], language)
    return planted or swaps_by_lexicon(concept, caption, language)


def _is_spoken(concept: Concept, caption: str, swap: Swap, language: str) -> bool:
    words = concept.words(caption, language)
    return any(word.start < swap.end and swap.start < word.end for word in words)


def request(inputs: AnalysisInputs, row: Mapping[str, Any], language: str, caption: str) -> CaptionRequest:
    """A caption of a sample (or another text in its place) behind the study's prompt."""
    image = inputs.images / row["image"] if inputs.images is not None and row.get("image") else None
    instruction = inputs.instructions.get(language, "")
    return CaptionRequest(row["sample_id"], row["image_id"], language, caption, instruction, image)


def _pair(
    inputs: AnalysisInputs,
    loaded: LoadedModel,
    samples: tuple[Mapping[str, Any], Mapping[str, Any] | None],
    language: str,
    swaps: list[Swap],
    which: Which,
) -> MinimalPair | str:
    """The pair, or why there is none."""
    concept, (row, twin) = inputs.concept, samples
    number = 0 if which == "first" else 1
    if len(swaps) <= number:
        return f"no {which} {concept.adjective} word with a counterpart"
    swap, caption = swaps[number], row[f"caption_{language}"]
    other = caption[: swap.start] + swap.other + caption[swap.end :]
    try:
        own_encoded, other_encoded = (
            encode_sample(loaded, request(inputs, row, language, text)) for text in (caption, other)
        )
    except UnusableText:
        return "the caption holds a control token"
    own_word = cut_after_word(own_encoded, swap.start, swap.end)
    other_word = cut_after_word(other_encoded, swap.start, swap.start + len(swap.other))
    if own_word is None or other_word is None:
        return f"the {concept.adjective} word shares a token with the word before it"
    if own_word.sample.ids[: own_word.start] != other_word.sample.ids[: other_word.start]:
        return f"the two {concept.plural} are tokenised apart before the word"
    side = side_of(concept, caption, (swap.start, swap.end), language) or row[concept.label_column(language)]
    positive, negative = (own_word, other_word) if side == concept.sides[0] else (other_word, own_word)
    on_other_side = opposite_twin(inputs, row, twin)
    other_image = on_other_side.get("image") if on_other_side else None  # a pair of captions may speak of one image
    shown = inputs.images / other_image if inputs.images and other_image and other_image != row["image"] else None
    sign = 1 if side == concept.sides[1] else -1
    telling = telling_spans(concept, caption, language, swaps, _opposite_caption(concept, row, twin, language))
    return MinimalPair(own_encoded, positive, negative, side, sign, telling, shown)


def opposite_twin(
    inputs: AnalysisInputs, row: Mapping[str, Any], twin: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """A sample's twin, where it is on the concept's other side in some language: it may be of another concept."""
    captions = (_opposite_caption(inputs.concept, row, twin, language) for language in inputs.languages)
    return twin if any(caption is not None for caption in captions) else None


def _opposite_caption(
    concept: Concept, row: Mapping[str, Any], twin: Mapping[str, Any] | None, language: str
) -> str | None:
    """The twin's caption, where it is on the other side."""
    label = concept.label_column(language)
    opposite = twin is not None and {row[label], twin[label]} == set(concept.sides)
    return twin[f"caption_{language}"] if twin is not None and opposite else None
