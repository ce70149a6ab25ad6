"""Samples without pictures or model, for the promises of the interpretation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from core.data.known_concepts import THE_CONCEPT
from core.features.inputs import AnalysisInputs


def inputs_of(samples: pl.DataFrame, seed: int = 0, languages: tuple[str, ...] = ("en", "ar")) -> AnalysisInputs:
    nothing: Any = None
    return AnalysisInputs(samples, Path("x"), None, (0,), languages, nothing, nothing, {}, seed, concept=THE_CONCEPT)


def samples_of(images: int, split: Callable[[int], str], **columns: Any) -> pl.DataFrame:
    ids = [f"i{n:03d}" for n in range(images)]
    frame = pl.DataFrame({"sample_id": ids, "image_id": ids, "split": [split(n) for n in range(images)]})
    return frame.with_columns(pl.lit(None, pl.String).alias("twin_id")).with_columns(
        pl.Series(name, values) for name, values in columns.items()
    )


def third(number: int) -> str:
    return ("train", "select", "test")[number % 3]
