"""The Arabic words of test captions, their form and referent, and the designs in which the two can be told apart."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from core.data.arabic_surface import ENDINGS, PRONOUNS, SORTS, surface_words
from core.data.gender_strata import generic_images
from core.features.inputs import AnalysisInputs
from core.stats.clustered import MOST_INFLATED, Dealt, crossed, dealt, inflation

ARABIC = "ar"
WRITTEN = {"ة": "ah", "ات": "at", "ها": "ha", "تها": "tha", "نها": "nha"}
"""The suffixes in Latin letters, for the names of estimates."""
_WORDS: dict[str, Any] = {
    "sample_id": pl.String,
    "image_id": pl.String,
    "language": pl.String,
    "referent_female": pl.Boolean,
    "start": pl.Int32,
    "end": pl.Int32,
    "sort": pl.String,
    "stem": pl.String,
    "form": pl.String,
    "ending": pl.String,
    "pronoun": pl.String,
    "owner": pl.String,
    "is_verb": pl.Boolean,
}
_CELLS = ("feminine_female", "feminine_male", "masculine_female", "masculine_male")


def find_words(inputs: AnalysisInputs) -> pl.DataFrame:
    """One row per word of a test image whose person has one gender, or whose captions are of the generic masculine.

    Whether the person is female is read off the English captions, where there are any: their nouns have no grammatical
    gender, so that an Arabic form cannot decide it. Images whose Arabic captions speak of both genders are left out; in
    the generic masculine `referent_female` is null.
    """
    told = inputs.concept.image_labels(inputs.samples, "en" if "en" in inputs.languages else ARABIC)
    both = inputs.samples.filter(pl.col("gender_ar") == "both")["image_id"]
    generic = generic_images(inputs.samples) if "en" in inputs.languages else []
    known = told.filter(
        pl.col("positive").is_not_null() | pl.col("image_id").is_in(generic), pl.col("split") == "test"
    ).select("image_id", "positive")
    captions = (
        inputs.samples.filter(~pl.col("image_id").is_in(both.implode()), pl.col("caption_ar").is_not_null())
        .join(known, on="image_id")
        .sort("image_id", "sample_id")
        .select("sample_id", "image_id", "caption_ar", "positive")
    )
    rows = [
        (sample, image, ARABIC, female, *word)
        for sample, image, caption, female in captions.iter_rows()
        for word in surface_words(caption)
    ]
    return pl.DataFrame(rows, schema=_WORDS, orient="row")


@dataclass(frozen=True)
class Stratum:
    """Words of one sort of which one suffix, or any mark, is compared with its counterpart.

    `rows` are their numbers among the words; `x` the design form, referent and both; `stems` and `units` the word and
    the image (with its twin) that each belongs to.
    """

    words: str
    suffix: str
    rows: Int[np.ndarray, " n"]
    form: Bool[np.ndarray, " n"]
    referent: Bool[np.ndarray, " n"]
    stems: Int[np.ndarray, " n"]
    units: Int[np.ndarray, " n"]

    @property
    def tested(self) -> tuple[str, ...]:
        """The effects that findings speak of, in the order of the design's terms."""
        return "form", "referent"

    def dealt(self, effect: str, draws: int, seed: int) -> Dealt:
        """Designs with forms dealt to the words, or referents to the images."""
        ways = {"form": (self.form, self.stems, self.referent), "referent": (self.referent, self.units, self.form)}
        labels, clusters, other = ways[effect]
        base = np.column_stack([np.ones(len(other)), other - 0.5])
        return Dealt(dealt(labels, clusters, draws, seed), base)

    @cached_property
    def x(self) -> Float[np.ndarray, "n 4"]:
        """Constant, form, referent, both."""
        return crossed(self.form, self.referent)

    @property
    def cells(self) -> dict[str, int]:
        """Words in each cell of the 2 × 2."""
        sides = [(form, female) for form in (True, False) for female in (True, False)]
        return {name: int(((self.form == f) & (self.referent == r)).sum()) for name, (f, r) in zip(_CELLS, sides)}

    @cached_property
    def inflated(self) -> float:
        """The largest variance inflation of the three terms; infinite with an empty cell."""
        return float(np.max(inflation(self.x)[1:])) if min(self.cells.values()) else np.inf

    @cached_property
    def fault(self) -> str:
        """Why form and referent cannot be told apart here; empty where they can."""
        empty = [name for name, count in self.cells.items() if not count]
        if empty == ["feminine_male", "masculine_female"]:
            return "the form always agrees with the person"
        if empty:
            return f"no {' and no '.join(name.replace('_', ' form beside a ') for name in empty)} person"
        if self.inflated > MOST_INFLATED:
            return f"variance inflation {self.inflated:.0f}, above {MOST_INFLATED:.0f}"
        single = [
            name
            for name, is_female in (("feminine", True), ("masculine", False))
            if len(np.unique(self.stems[self.form == is_female])) < 2
        ]
        return f"one word alone has the {single[0]} form" if single else ""


def strata(inputs: AnalysisInputs, words: pl.DataFrame) -> list[Stratum]:
    """Every sort of word with any mark of form, and suffix by suffix.

    Nouns and adjectives with a suffix are compared with those without a feminine ending; an owner's pronoun with its
    masculine counterpart.
    """
    feminine, by_owner = ((words[column] == "female").fill_null(False).to_numpy() for column in ("form", "owner"))
    is_noun = ~words["is_verb"].to_numpy().astype(bool)
    ending, pronoun = words["ending"].to_numpy(), words["pronoun"].to_numpy()
    found, known = [], words["referent_female"].is_not_null().to_numpy()
    for sort in SORTS:
        own = known & (words["sort"].to_numpy() == sort)
        found.append(_stratum(inputs, words, (sort, ""), own, feminine))
        if sort == "owned":
            found += [_stratum(inputs, words, (sort, one), own & (pronoun == one), by_owner) for one in PRONOUNS]
            continue
        for one in ENDINGS:
            compared = own & is_noun & ((ending == one) | ~feminine)
            found.append(_stratum(inputs, words, (sort, one), compared, feminine))
    return found


def _stratum(
    inputs: AnalysisInputs,
    words: pl.DataFrame,
    names: tuple[str, str],
    chosen: Bool[np.ndarray, " W"],
    feminine: Bool[np.ndarray, " W"],
) -> Stratum:
    rows = np.flatnonzero(chosen)
    part = words[rows]
    _, stems = np.unique(part["stem"].to_numpy().astype(str), return_inverse=True)
    units = inputs.units(part["image_id"].to_list())
    return Stratum(*names, rows, feminine[rows], part["referent_female"].to_numpy().astype(bool), stems, units)


def design_table(found: list[Stratum]) -> pl.DataFrame:
    """words, suffix, occurrences, different words, images (units), words in each cell of the 2 × 2, the largest
    variance inflation (null: infinite) and why form and referent cannot be told apart (empty: they can)."""
    rows = [
        {
            "words": one.words,
            "suffix": one.suffix,
            "occurrences": len(one.rows),
            "different_words": len(np.unique(one.stems)),
            "units": len(np.unique(one.units)),
            **one.cells,
            "inflation": one.inflated if np.isfinite(one.inflated) else None,
            "not_identifiable": one.fault,
        }
        for one in found
    ]
    counts = ("occurrences", "different_words", "units", *_CELLS)
    types: dict[str, Any] = {"words": pl.String, "suffix": pl.String, **dict.fromkeys(counts, pl.UInt32)}
    return pl.DataFrame(rows, schema={**types, "inflation": pl.Float64, "not_identifiable": pl.String})
