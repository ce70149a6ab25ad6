"""The words of test captions, by whether they stand before or after the first one that tells gender, or tell it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from scipy import sparse

from core.data import arabic
from core.features.associations import MIN_CLASS
from core.features.inputs import AnalysisInputs
from core.stats.clustered import MOST_INFLATED

PLACES = ("before", "after", "gendered")
"""Words before the caption's first gendered word, later words that tell no gender, and those that tell it."""
_WORD = re.compile(r"[^\W\d_]+")
_WORDS: dict[str, Any] = {
    "sample_id": pl.String,
    "image_id": pl.String,
    "language": pl.String,
    "start": pl.Int32,
    "end": pl.Int32,
    "word": pl.String,
    "place": pl.String,
    "female": pl.Boolean,
}


def find_words(inputs: AnalysisInputs, language: str) -> pl.DataFrame:
    """One row per word of a caption of a test image whose captions in this language tell one gender."""
    known = inputs.concept.image_labels(inputs.samples, language)
    known = known.filter(pl.col("positive").is_not_null(), pl.col("split") == "test").select("image_id", "positive")
    captions = (
        inputs.samples.filter(pl.col(f"caption_{language}").is_not_null())
        .join(known, on="image_id")
        .sort("image_id", "sample_id")
        .select("sample_id", "image_id", f"caption_{language}", "positive")
    )
    rows = [
        (sample, image, language, start, end, word, place, female)
        for sample, image, caption, female in captions.iter_rows()
        for start, end, word, place in _placed(inputs, caption, language)
    ]
    return pl.DataFrame(rows, schema=_WORDS, orient="row")


def _placed(inputs: AnalysisInputs, caption: str, language: str) -> Iterator[tuple[int, int, str, str]]:
    spans = [(word.start, word.end) for word in inputs.concept.words(caption, language)]
    if not spans:
        return
    for start, end, word in _written(caption, language):
        if any(start < stop and end > begin for begin, stop in spans):
            yield start, end, word, "gendered"
        else:
            yield start, end, word, "before" if end <= spans[0][0] else "after"


def _written(caption: str, language: str) -> Iterator[tuple[int, int, str]]:
    if language == "ar":
        yield from ((word.start, word.end, word.folded) for word in arabic.words(caption))
    else:
        yield from ((match.start(), match.end(), match[0].casefold()) for match in _WORD.finditer(caption))


@dataclass(frozen=True)
class Place:
    """The words of one place in one language.

    `rows` are their numbers among the language's words; words that occur once are left out, for nothing is like them.
    `types` [n] numbers the written words, `images` [n] the images, of which `names`, `female` and `units` tell.
    """

    language: str
    place: str
    rows: Int[np.ndarray, " n"]
    types: Int[np.ndarray, " n"]
    images: Int[np.ndarray, " n"]
    female: Bool[np.ndarray, " I"]
    units: Int[np.ndarray, " I"]
    single: int

    @classmethod
    def of(cls, inputs: AnalysisInputs, words: pl.DataFrame, language: str, place: str) -> "Place":
        """The words of `place` among a language's."""
        numbered = words.with_row_index("row").filter(place=place)
        known = numbered.filter(pl.len().over("word") > 1)
        names, images = np.unique(known["image_id"].to_numpy().astype(str), return_inverse=True)
        female = dict(known.select("image_id", "female").iter_rows())
        return cls(
            language,
            place,
            known["row"].to_numpy().astype(np.int64),
            np.unique(known["word"].to_numpy().astype(str), return_inverse=True)[1],
            images,
            np.array([female[name] for name in names], dtype=bool),
            inputs.units([str(name) for name in names]),
            numbered.height - known.height,
        )

    @cached_property
    def inflation(self) -> float:
        """Variance inflation of the person's gender by the written words; infinite where they tell it."""
        label = self.female[self.images].astype(np.float64)
        total = np.square(label - label.mean()).sum() if len(label) else 0.0
        rest = np.square(label - self._mean_of_type(label)).sum() if len(label) else 0.0
        return float(total / rest) if rest > 1e-9 * max(total, 1e-12) else np.inf

    @property
    def fault(self) -> str:
        """Why form and meaning cannot be told apart here; empty where they can."""
        if min(int(self.female.sum()), int((~self.female).sum())) < MIN_CLASS:
            return f"fewer than {MIN_CLASS} images of a gender"
        if np.isinf(self.inflation):
            return "every word tells the person's gender by its form"
        if self.inflation > MOST_INFLATED:
            return f"variance inflation {self.inflation:.0f}, above {MOST_INFLATED:.0f}"
        return ""

    @cached_property
    def of_image(self) -> Float[sparse.csr_array, "I n"]:
        """Takes the mean over each image's words."""
        weights = 1 / np.bincount(self.images)[self.images]
        shape = (len(self.female), len(self.rows))
        return sparse.csr_array((weights, (self.images, np.arange(len(self.rows)))), shape=shape)

    def by_image(
        self, means: Float[sparse.csr_array, "n F"]
    ) -> tuple[Float[np.ndarray, "I F"], Float[np.ndarray, "I F"]]:
        """Each image's mean over its words, and the same of what is left when each written word's own mean over all
        images is taken out.

        Args:
            means: features on the words of this place.
        """
        of_type = sparse.csr_array((np.ones(len(self.rows)), (self.types, np.arange(len(self.rows)))))
        mean_of_type = sparse.diags_array(1 / of_type.sum(axis=1)) @ (of_type @ means)
        plain = (self.of_image @ means).toarray()
        return plain, plain - (self.of_image @ of_type.T @ mean_of_type).toarray()

    def _mean_of_type(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return np.asarray((np.bincount(self.types, values) / np.bincount(self.types))[self.types])


def design_table(places: list[Place]) -> pl.DataFrame:
    """language, place, occurrences, different words, occurrences left out (words that occur once), images, units, the
    variance inflation (null: infinite) and why form and meaning cannot be told apart (empty: they can)."""
    rows = [
        {
            "language": one.language,
            "place": one.place,
            "occurrences": len(one.rows),
            "different_words": len(np.unique(one.types)),
            "left_out": one.single,
            "images": len(one.female),
            "units": len(np.unique(one.units)),
            "inflation": one.inflation if np.isfinite(one.inflation) else None,
            "not_identifiable": one.fault,
        }
        for one in places
    ]
    counts = ("occurrences", "different_words", "left_out", "images", "units")
    types: dict[str, Any] = {"language": pl.String, "place": pl.String, **dict.fromkeys(counts, pl.UInt32)}
    return pl.DataFrame(rows, schema={**types, "inflation": pl.Float64, "not_identifiable": pl.String})
