"""How often and how strongly each feature fires: overall, by language and by position set."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int, UInt

from core.features.columns import map_array, sorted_quantile

QUANTILES = {"q25": 0.25, "q50": 0.5, "q75": 0.75, "q90": 0.9, "q99": 0.99, "q995": 0.995}
"""Columns of quantiles of a feature's activations when active."""
SEGMENTS = ("image", "prompt", "caption")
LANGUAGES = ("shared", "en", "ar")
BINS = 16
"""Bins of a feature's histogram, equal steps between 0 and its maximum."""

_REALS: dict[str, pl.DataType] = dict.fromkeys(QUANTILES, pl.Float32())
FEATURES = pl.Schema(
    {
        "feature": pl.UInt32(),
        "count": pl.UInt32(),
        "density": pl.Float64(),
        "mean": pl.Float32(),
        "max": pl.Float32(),
        **_REALS,
        "samples": pl.UInt32(),
        "images": pl.UInt32(),
        "idf": pl.Float64(),
        **{f"count_{language}": pl.UInt32() for language in LANGUAGES},
        **{f"rate_{segment}": pl.Float64() for segment in SEGMENTS},
        **{f"mean_square_{segment}": pl.Float64() for segment in SEGMENTS},
        "histogram": pl.List(pl.UInt32()),
        "top_rows": pl.List(pl.UInt32()),
        "top_values": pl.List(pl.Float32()),
    }
)
"""One row per feature, over rows that are not special. `count` rows it is active in, `density` their share; `mean`,
`max` and quantiles of its activations when active (null if never); `samples`, `images` it is active in at all; `idf` =
ln((1 + N) / (1 + samples)) + 1; `rate_` and `mean_square_` the share of a segment's rows it is active in and its mean
squared activation over all of them, which is its mean squared contribution; `top_rows` strongest first."""

POSITIONS = pl.Schema(
    {
        "feature": pl.UInt32,
        "language": pl.String,
        "position_set": pl.String,
        "count": pl.UInt32,
        "density": pl.Float64,
        "mean": pl.Float32,
        "max": pl.Float32,
    }
)
"""One row per feature, language (null: shared by all) and position set in which it fires at all."""

_CHUNK_ENTRIES = 1 << 22


@dataclass(frozen=True)
class RowKinds:
    """What kind each of the T rows is, as small integers: `group` numbers the rows of `groups` (language, position_set,
    rows), −1 for a row in no group."""

    counted: Bool[np.ndarray, " T"]
    sample: Int[np.ndarray, " T"]
    image: Int[np.ndarray, " T"]
    language: Int[np.ndarray, " T"]
    segment: Int[np.ndarray, " T"]
    group: Int[np.ndarray, " T"]
    groups: pl.DataFrame
    num_samples: int

    @classmethod
    def of(cls, tokens: pl.DataFrame, sets: pl.Series) -> "RowKinds":
        """The kinds of a table's rows; `sets` names each row's position set."""
        frame = tokens.select("language", "special").with_columns(sets.alias("position_set"))
        inside = ~pl.col("special") | (pl.col("position_set") == "last-prompt")
        keys = ["language", "position_set"]
        groups = frame.filter(inside).group_by(keys).agg(pl.len().alias("rows")).sort(keys)
        numbered = groups.with_row_index("group").drop("rows")
        joined = frame.join(numbered, on=keys, how="left", nulls_equal=True, maintain_order="left")
        group = joined.select(pl.when(inside).then(pl.col("group").cast(pl.Int64)).otherwise(-1)).to_series()
        return cls(
            counted=~tokens["special"].to_numpy(),
            sample=_codes(tokens["sample_id"]),
            image=_codes(tokens["image_id"]),
            language=_places(tokens["language"].fill_null("shared"), LANGUAGES),
            segment=_places(tokens["segment"], SEGMENTS, default=-1),  # a model of one's own has segments of its own
            group=group.fill_null(-1).to_numpy(),
            groups=groups,
            num_samples=tokens["sample_id"].n_unique(),
        )


def _codes(column: pl.Series) -> Int[np.ndarray, " T"]:
    return column.rank("dense").to_numpy().astype(np.int64) - 1


def _places(column: pl.Series, names: tuple[str, ...], **otherwise: int) -> Int[np.ndarray, " T"]:
    known = {name: place for place, name in enumerate(names)}
    return column.replace_strict(known, return_dtype=pl.Int64, **otherwise).to_numpy()


@dataclass(frozen=True)
class Occurrences:
    """Where features are active, by feature: the index's CSC arrays."""

    indptr: UInt[np.ndarray, " F1"]
    rows: UInt[np.ndarray, " nnz"]
    values: Float[np.ndarray, " nnz"]

    @classmethod
    def open(cls, folder: Path) -> "Occurrences":
        """Those of an index's folder, memory-mapped."""
        return cls(*(map_array(folder / f"csc_{name}.npy") for name in ("indptr", "rows", "values")))

    @property
    def num_features(self) -> int:
        """F."""
        return len(self.indptr) - 1

    def chunks(self) -> Iterator["Chunk"]:
        """Features in portions of about four million entries."""
        bounds = self.indptr.astype(np.int64)
        first = 0
        while first < self.num_features:
            beyond = int(np.searchsorted(bounds, bounds[first] + _CHUNK_ENTRIES, "right")) - 1
            stop = min(max(beyond, first + 1), self.num_features)
            span = slice(bounds[first], bounds[stop])
            feature = np.repeat(np.arange(stop - first), np.diff(bounds[first : stop + 1]))
            yield Chunk(first, stop, feature, np.asarray(self.rows[span]), np.asarray(self.values[span]))
            first = stop


@dataclass(frozen=True)
class Chunk:
    """Entries of features `first` to `stop`: which feature (from 0 within the chunk), row, value."""

    first: int
    stop: int
    feature: Int[np.ndarray, " n"]
    rows: UInt[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]

    def where(self, mask: Bool[np.ndarray, " n"]) -> "Chunk":
        """The entries that `mask` keeps."""
        return Chunk(self.first, self.stop, self.feature[mask], self.rows[mask], self.values[mask])

    def count(self, weights: Any = None) -> Any:
        """Entries (or the sum of `weights`) by feature."""
        return np.bincount(self.feature, weights, minlength=self.stop - self.first)

    def distinct(self, codes: Int[np.ndarray, " T"]) -> Int[np.ndarray, " f"]:
        """Distinct codes of the rows by feature."""
        width = int(codes.max(initial=0)) + 1
        pairs = np.unique(self.feature * width + codes[self.rows])
        return np.bincount(pairs // width, minlength=self.stop - self.first)


def feature_statistics(occurrences: Occurrences, kinds: RowKinds, top_rows: int) -> pl.DataFrame:
    """Describe every feature; columns as `FEATURES` has them."""
    parts = [_describe(chunk.where(kinds.counted[chunk.rows]), kinds, top_rows) for chunk in occurrences.chunks()]
    return pl.concat(parts) if parts else FEATURES.to_frame()


def _describe(chunk: Chunk, kinds: RowKinds, top_rows: int) -> pl.DataFrame:
    count = chunk.count()
    order = np.lexsort((chunk.rows, -chunk.values, chunk.feature))  # by feature, strongest first, ties to the lower row
    starts = count.cumsum() - count
    strongest = chunk.values[order]
    samples = chunk.distinct(kinds.sample)
    tops = [order[start : start + min(n, top_rows)] for start, n in zip(starts, count)]
    columns: dict[str, Any] = {
        "feature": np.arange(chunk.first, chunk.stop),
        "count": count,
        "density": count / max(1, int(kinds.counted.sum())),
        "mean": _or_nan(chunk.count(chunk.values.astype(np.float64)), count),
        "max": sorted_quantile(strongest, starts, count, 1.0),
        **{name: sorted_quantile(strongest, starts, count, q) for name, q in QUANTILES.items()},
        "samples": samples,
        "images": chunk.distinct(kinds.image),
        "idf": np.log((1 + kinds.num_samples) / (1 + samples)) + 1,
        **_by_language(chunk, kinds),
        **_by_segment(chunk, kinds),
        "histogram": _histograms(chunk, sorted_quantile(strongest, starts, count, 1.0)),
        "top_rows": [chunk.rows[top].tolist() for top in tops],
        "top_values": [chunk.values[top].tolist() for top in tops],
    }
    frame = pl.DataFrame({name: columns[name] for name in FEATURES}, strict=False)
    return frame.with_columns(pl.col("mean", "max", *QUANTILES).fill_nan(None)).cast(FEATURES)


def _or_nan(total: Float[np.ndarray, " f"], count: Int[np.ndarray, " f"]) -> Float[np.ndarray, " f"]:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _by_language(chunk: Chunk, kinds: RowKinds) -> dict[str, Any]:
    of_entry = kinds.language[chunk.rows]
    return {f"count_{language}": chunk.where(of_entry == code).count() for code, language in enumerate(LANGUAGES)}


def _by_segment(chunk: Chunk, kinds: RowKinds) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for code, segment in enumerate(SEGMENTS):
        rows = max(1, int((kinds.counted & (kinds.segment == code)).sum()))
        part = chunk.where(kinds.segment[chunk.rows] == code)
        columns[f"rate_{segment}"] = part.count() / rows
        columns[f"mean_square_{segment}"] = part.count(part.values.astype(np.float64) ** 2) / rows
    return columns


def _histograms(chunk: Chunk, maximum: Float[np.ndarray, " f"]) -> list[list[int]]:
    share = chunk.values / maximum[chunk.feature]
    bins = np.minimum((share * BINS).astype(np.int64), BINS - 1)
    flat = np.bincount(chunk.feature * BINS + bins, minlength=(chunk.stop - chunk.first) * BINS)
    histograms: list[list[int]] = flat.reshape(-1, BINS).tolist()
    return histograms


def position_statistics(occurrences: Occurrences, kinds: RowKinds) -> pl.DataFrame:
    """Count, density, mean and maximum when active by feature, language and position set: `POSITIONS`."""
    width = kinds.groups.height
    parts = [_in_cells(chunk.where(kinds.group[chunk.rows] >= 0), kinds, width) for chunk in occurrences.chunks()]
    return pl.concat(parts) if parts else POSITIONS.to_frame()


def positions_of(
    feature: int, rows: UInt[np.ndarray, " n"], values: Float[np.ndarray, " n"], kinds: RowKinds
) -> pl.DataFrame:
    """The same of one feature, from the rows it is active in and its activations there."""
    chunk = Chunk(feature, feature + 1, np.zeros(len(rows), np.int64), np.asarray(rows), np.asarray(values))
    return _in_cells(chunk.where(kinds.group[chunk.rows] >= 0), kinds, kinds.groups.height)


def _in_cells(chunk: Chunk, kinds: RowKinds, width: int) -> pl.DataFrame:
    size = (chunk.stop - chunk.first) * width
    key = chunk.feature * width + kinds.group[chunk.rows]
    count = np.bincount(key, minlength=size)
    total = np.bincount(key, chunk.values.astype(np.float64), minlength=size)
    largest = np.zeros(size, np.float32)
    np.maximum.at(largest, key, chunk.values)
    some = np.flatnonzero(count)
    groups = kinds.groups[some % width if width else some]
    frame = pl.DataFrame(
        {"feature": chunk.first + some // max(width, 1), "count": count[some], "max": largest[some]}
    ).with_columns(
        groups["language"],
        groups["position_set"],
        pl.Series("density", count[some] / groups["rows"].to_numpy()),
        pl.Series("mean", total[some] / count[some]),
    )
    return frame.select(POSITIONS.names()).cast(POSITIONS)
