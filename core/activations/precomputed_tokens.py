"""The tokens of activations made elsewhere: their table's columns checked, and what it lacks filled in."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from core.activations.rows import TOKENS
from core.data.languages import LANGUAGES
from core.errors import BadInput, first_line

SEGMENTS = ("image", "prompt", "caption")
_NAMED = 5


def read_tokens(path: Path, rows: int, samples: pl.DataFrame) -> pl.DataFrame:
    """The table with the columns of a shard's tokens (T rows), further ones left out; `group` and `row` are null.

    `sample_id` must be there and be one of the samples'; `image_id` is the sample's. What else is missing, as a column
    or in a row, becomes: `segment` caption; `language` of caption rows the first that the samples have, of others null;
    `position` the row's number among those of its sample and language; `token` empty; `special` false; `token_id`,
    `char_start` and `char_end` null.

    Raises:
        BadInput: the file cannot be read, has another number of rows, or a column is missing or wrong.
    """
    frame = _read(path)
    if "sample_id" not in frame.columns:
        raise BadInput(f"{path}: no column 'sample_id'; the table's columns: {', '.join(frame.columns) or 'none'}")
    if len(frame) != rows:
        raise BadInput(f"{path}: {len(frame)} rows, and {rows} in the layers' matrices; they must line up")
    typed = frame.select(_typed(path, frame, name) for name in TOKENS)
    known = _with_images(path, typed, samples)
    filled = known.with_columns(
        segment=pl.col("segment").fill_null("caption"),
        token=pl.col("token").fill_null(""),
        special=pl.col("special").fill_null(False),
    )
    _refuse_others(path, filled, "segment", SEGMENTS)
    _refuse_others(path, filled, "language", LANGUAGES)
    return _with_positions(path, _with_languages(filled, samples)).select(*TOKENS)


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, glob=False)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: is missing; capture.precomputed needs it") from error
    except (OSError, PolarsError) as error:
        raise BadInput(f"{path}: cannot be read as Parquet ({first_line(error)})") from error


def _typed(path: Path, frame: pl.DataFrame, name: str) -> pl.Series:
    if name not in frame.columns or name in ("group", "row"):
        return pl.Series(name, [None], dtype=TOKENS[name]).new_from_index(0, len(frame))
    try:
        return frame[name].cast(TOKENS[name])
    except PolarsError as error:
        words = f"{frame[name].dtype}, and not all of it is {TOKENS[name]}"
        raise BadInput(f"{path}: column {name!r} is {words} ({first_line(error)})") from error


def _with_images(path: Path, tokens: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    own = samples.select("sample_id", pl.col("image_id").alias("own"))
    known = tokens.join(own, on="sample_id", how="left", maintain_order="left")
    strange = known.filter(pl.col("own").is_null())["sample_id"].unique(maintain_order=True)
    if len(strange):
        raise BadInput(f"{path}: column 'sample_id': {_some(strange)} not among the study's samples")
    other = known.filter(pl.col("image_id") != pl.col("own"))
    if len(other):
        row = other.row(0, named=True)
        told = f"sample {row['sample_id']} has {row['image_id']!r} here and {row['own']!r} in the study"
        raise BadInput(f"{path}: column 'image_id': {told}; leave the column out to take the study's")
    return known.with_columns(image_id=pl.col("own"))


def _refuse_others(path: Path, tokens: pl.DataFrame, name: str, legal: tuple[str, ...]) -> None:
    others = tokens[name].drop_nulls().unique(maintain_order=True)
    others = others.filter(~others.is_in(legal))
    if len(others):
        raise BadInput(f"{path}: column {name!r}: {_some(others)} none of {', '.join(legal)}")


def _with_languages(tokens: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    first = next(language for language in LANGUAGES if samples[f"caption_{language}"].is_not_null().any())
    spoken = pl.when(segment="caption").then(pl.lit(first))
    return tokens.with_columns(language=pl.coalesce("language", spoken))


def _with_positions(path: Path, tokens: pl.DataFrame) -> pl.DataFrame:
    sequence = ["sample_id", "language"]
    counted = pl.int_range(pl.len(), dtype=pl.UInt32).over(sequence)
    placed = tokens.with_columns(position=pl.coalesce("position", counted))
    twice = placed.filter(pl.struct(*sequence, "position").is_duplicated())
    if len(twice):
        row = twice.row(0, named=True)
        told = f"sample {row['sample_id']} ({row['language'] or 'no language'}) has two rows at {row['position']}"
        raise BadInput(f"{path}: column 'position': {told}; a token has one row")
    return placed


def _some(values: Iterable[str]) -> str:
    """`a, b, c … are`, to be followed by what they are."""
    listed = [repr(value) for value in values]
    more = " …" if len(listed) > _NAMED else ""
    return f"{', '.join(listed[:_NAMED])}{more} {'is' if len(listed) == 1 else 'are'}"
