"""Minimal pairs: a caption's gendered word and its counterpart, behind one and the same prefix."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from core.analysis.result import AnalysisInputs
from core.causal.counterparts import Swap, swaps_by_lexicon, swaps_by_truth, swaps_by_twin
from core.data.gender import label_caption
from core.lm.loaded import LoadedModel
from core.lm.outcomes import WordSequence, cut_after_word
from core.lm.prompts import CaptionRequest, EncodedSample, UnusableText, encode_sample

Which = Literal["first", "later"]


@dataclass(frozen=True)
class MinimalPair:
    """One image's caption in one language, cut after its gendered word in either gender.

    `sign` is +1 where the other gender is the female one; `swaps` are all words that differ between the genders;
    `twin_image` is the same scene with the other gender, where there is one.
    """

    caption: EncodedSample
    female: WordSequence
    male: WordSequence
    gender: str
    swaps: tuple[Swap, ...]
    twin_image: Path | None

    @property
    def image_id(self) -> str:
        """The unit."""
        return self.caption.image_id

    @property
    def sign(self) -> int:
        """+1 where "toward the other gender" means toward female, else −1."""
        return 1 if self.gender == "male" else -1

    @property
    def prefix_length(self) -> int:
        """Tokens before the word."""
        return self.female.start

    def with_twin_image(self) -> "MinimalPair":
        """The same words behind the twin's image."""
        female = replace(self.female, sample=replace(self.female.sample, image=self.twin_image))
        male = replace(self.male, sample=replace(self.male.sample, image=self.twin_image))
        return replace(self, female=female, male=male)


@dataclass(frozen=True)
class Chosen:
    """Test samples, one of each twin pair, alternating in gender, and what was left out, counted by reason."""

    rows: pl.DataFrame
    left_out: Mapping[str, int]


def choose_samples(inputs: AnalysisInputs, images: int) -> Chosen:
    """Draw up to `images` test images whose person shows a gender (by seed), as many of either as can be had."""
    test = inputs.samples.filter(pl.col("split") == "test").unique("image_id", keep="first", maintain_order=True)
    gender = pl.coalesce(*(_clear(f"gender_{language}") for language in inputs.languages)).alias("_gender")
    test = test.with_columns(gender)
    left_out = Counter({"caption names no single gender": int(test["_gender"].null_count())})
    known = test.filter(pl.col("_gender").is_not_null())
    if "visible_gender" in known.columns:
        shown = pl.col("visible_gender") != "neutral"
        left_out["person shows no gender"] = known.filter(~shown).height
        known = known.filter(shown)
    picked = _one_a_pair(known, images, inputs.seed)
    return Chosen(picked.drop("_gender").sort("image_id"), {key: n for key, n in left_out.items() if n})


def _clear(column: str) -> pl.Expr:
    return pl.when(pl.col(column).is_in(["female", "male"])).then(pl.col(column))


def _one_a_pair(known: pl.DataFrame, images: int, seed: int) -> pl.DataFrame:
    """Twins are one observation twice: one of each pair is taken, the gender that has fewer so far first."""
    order = np.random.default_rng(seed).permutation(known.height)
    taken: list[int] = []
    seen: set[str] = set()
    counts = Counter({"female": 0, "male": 0})
    rows = known.select("sample_id", "twin_id", "_gender").rows()
    for rare_first in (True, False):  # a second round takes what is left, though it be of the commoner gender
        for index in map(int, order):
            sample, twin, gender = rows[index]
            commoner = counts[gender] > min(counts.values())
            if len(taken) == images or sample in seen or (rare_first and commoner):
                continue
            taken.append(index)
            seen |= {sample, twin or sample}
            counts[gender] += 1
    return known[sorted(taken)]


def find_pairs(
    inputs: AnalysisInputs, loaded: LoadedModel, rows: pl.DataFrame, language: str, which: Which = "first"
) -> tuple[list[MinimalPair], Counter[str]]:
    """The samples' first (or second) gendered word and its counterpart; and the reasons why some have none."""
    pairs: list[MinimalPair] = []
    reasons: Counter[str] = Counter()
    twins = {row["sample_id"]: row for row in inputs.samples.iter_rows(named=True)}
    for row in rows.iter_rows(named=True):
        twin = twins.get(row["twin_id"]) if row.get("twin_id") else None
        if row[f"caption_{language}"] is None or row[f"gender_{language}"] not in ("female", "male"):
            reasons[f"{language}: no caption of one gender"] += 1
            continue
        swaps = find_swaps(inputs, row, twin, language)
        pair = _pair(inputs, loaded, (row, twin), language, swaps, which)
        if isinstance(pair, str):
            reasons[f"{language}: {pair}"] += 1
        else:
            pairs.append(pair)
    return pairs, reasons


def shared_contexts(pairs: Sequence[MinimalPair], language: str) -> list[str]:
    """A warning where images share all that stands before the word: they are one context, not several.

    What an intervention does there differs by the word alone, so that an interval over images is too narrow.
    """
    contexts = {(str(pair.caption.image), tuple(pair.female.sample.ids[: pair.female.start])) for pair in pairs}
    if len(contexts) == len(pairs):
        return []
    return [
        f"{language}: the {len(pairs)} measured images have {len(contexts)} different contexts before the word; "
        "those that share one are no independent observations, and intervals are too narrow."
    ]


def find_swaps(
    inputs: AnalysisInputs, row: Mapping[str, Any], twin: Mapping[str, Any] | None, language: str
) -> list[Swap]:
    """The words that the other gender changes: by the twin's caption, the planted truth, or a lexicon.

    A twin whose caption differs before the gendered word (in another place, by another name) shows no such words.
    """
    caption, gender = row[f"caption_{language}"], row[f"gender_{language}"]
    if twin is not None and {gender, twin[f"gender_{language}"]} == {"female", "male"}:
        other = twin[f"caption_{language}"]
        swaps = swaps_by_twin(caption, other) if other is not None else []
        if swaps and _is_gendered(caption, swaps[0], language):
            return swaps
    return swaps_by_truth(inputs.truth, row["sample_id"], language) or swaps_by_lexicon(caption, language)


def _is_gendered(caption: str, swap: Swap, language: str) -> bool:
    words = label_caption(caption, language).tokens
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
    row, twin = samples
    number = 0 if which == "first" else 1
    if len(swaps) <= number:
        return f"no {which} gendered word with a counterpart"
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
        return "the gendered word shares a token with the word before it"
    if own_word.sample.ids[: own_word.start] != other_word.sample.ids[: other_word.start]:
        return "the two genders are tokenised apart before the word"
    gender = row[f"gender_{language}"]
    female, male = (own_word, other_word) if gender == "female" else (other_word, own_word)
    other_image = twin.get("image") if twin else None  # a pair of captions may speak of one image
    shown = inputs.images / other_image if inputs.images and other_image and other_image != row["image"] else None
    return MinimalPair(own_encoded, female, male, gender, tuple(swaps), shown)
