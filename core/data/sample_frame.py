"""The columns of `samples.parquet`, and how samples become its rows."""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

SCHEMA: dict[str, Any] = {
    "sample_id": pl.String,
    "image_id": pl.String,
    "image": pl.String,
    "caption_en": pl.String,
    "caption_ar": pl.String,
    "gender_en": pl.String,
    "gender_ar": pl.String,
    "split": pl.String,
    "twin_id": pl.String,
}
"""The columns every study has; further ones are attributes. `image` is a path below the artefact's folder, null in a
study of text; caption and gender of a language that the study lacks are null. Genders are `male`, `female`, `both`,
`neutral` or `none`; splits `train`, `select` or `test`; `twin_id` is the sample's gender-flipped counterpart."""

_PREFIX = "source_"
_INT64 = 2**63
_LARGEST = 2**1023  # of what a float holds, near enough


@dataclass(frozen=True)
class Sample:
    """One image (or none) with its captions; `row` is its place in the source, counted from 1."""

    row: int
    sample_id: str
    image_id: str
    image: str | None
    caption_en: str | None
    caption_ar: str | None
    gender_en: str | None
    gender_ar: str | None
    twin_id: str | None = None
    split: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def genders(self) -> str:
        """The genders of its captions: the stratum that the sample counts in."""
        return f"{self.gender_en or '-'}/{self.gender_ar or '-'}"


def to_frame(samples: Sequence[Sample], types: Mapping[str, Any]) -> pl.DataFrame:
    """The samples sorted by image and id, with their attributes.

    An attribute that is called like a column of ours becomes `source_<name>`. `types` are the polars types of
    attributes where they are known; an attribute of mixed types becomes JSON text.
    """
    ordered = sorted(samples, key=lambda sample: (sample.image_id, sample.sample_id))
    fixed = {
        name: pl.Series(name, [getattr(sample, name) for sample in ordered], dtype=dtype)
        for name, dtype in SCHEMA.items()
    }
    names = list(dict.fromkeys(name for sample in ordered for name in sample.attributes))
    further = [
        column_series(_free_name(name, names), [sample.attributes.get(name) for sample in ordered], types.get(name))
        for name in names
    ]
    return pl.DataFrame([*fixed.values(), *further])


def free_column(number: int, names: Sequence[str]) -> str:
    """A name for a column that has none."""
    free = f"column_{number}"
    while free in names:
        free += "_"
    return free


def prefixed(name: str, names: Container[str]) -> str:
    """Another name for a column that is called like one of ours; none of `names`."""
    free = _PREFIX + name
    while free in names:
        free = _PREFIX + free
    return free


def _free_name(name: str, names: Sequence[str]) -> str:
    if not name:
        return free_column(1, names)
    return prefixed(name, names) if name in SCHEMA else name


def column_series(name: str, values: list[Any], dtype: Any) -> pl.Series:
    """A column of a type that is known, or of the one its values share; mixed values become JSON text."""
    if dtype is not None:
        return pl.Series(name, values, dtype=dtype)
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and all(value is None or abs(value) < _INT64 for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds in ({float}, {float, int}) and all(
        value is None or isinstance(value, float) or abs(value) < _LARGEST for value in values
    ):
        return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64)
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    texts = [value if value is None or isinstance(value, str) else json.dumps(value, default=str) for value in values]
    return pl.Series(name, texts, dtype=pl.String)
