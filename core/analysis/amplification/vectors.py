"""Other vectors of the features' length: their curves, and their slopes at dose 0 beside random directions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from core.analysis.amplification.dose_response import near_zero, response_schema, summarise_responses, summarise_slopes
from core.analysis.amplification.picked import Picked
from core.causal.steering_vectors import COVARIANCE, ISOTROPIC, further_vectors
from core.stats.families import corrected_within

KINDS = {ISOTROPIC: "isotropic", COVARIANCE: "covariance"}
"""Kinds of random directions, and the columns that hold them."""
_SPREAD: dict[str, Any] = {
    f"{column}{end}": pl.Float64 for column in KINDS.values() for end in ("", "_low", "_high", "_p")
}
VECTOR_SLOPES = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "vector": pl.String,
        "images": pl.UInt32,
        "units": pl.UInt32,
        **dict.fromkeys(("slope", "low", "high", "isotonic_r2"), pl.Float64),
        **_SPREAD,
        "draws": pl.UInt32,
        **dict.fromkeys(("p", "q"), pl.Float64),
    }
)
"""One row per language and vector. Per kind of random directions: mean slope, central 95 % of the draws and p; `p` is
the larger of the two, `draws` the fewer; q over languages and vectors."""


def vector_tables(picked: Picked, doses: Sequence[float], curves: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The curves of all vectors and of some random directions (`response_schema`), and the slopes (`VECTOR_SLOPES`).

    Args:
        picked: the reported layer.
        doses: the study's.
        curves: random directions of either kind that have a curve.
    """
    further = further_vectors(picked.opened, picked.features, picked.steer.signs, picked.length, picked.inputs.seed)
    random = {f"{kind} {n + 1}": vector for kind in KINDS for n, vector in enumerate(picked.random[kind][:curves])}
    columns = [name for name in picked.responses.columns if name != "layer"]
    responses, slopes = [], []
    for part in picked.runs:
        known = picked.responses.filter(language=part.language).select(columns)
        own = pl.concat([known, part.respond_briefly(picked.opened, further, doses)])
        slopes.append(_slopes(picked, part, own, near_zero(doses)))
        drawn = part.respond_briefly(picked.opened, random, doses) if random else own.clear()
        responses.append(summarise_responses(picked.layer, pl.concat([own, drawn]), picked.resampling))
    return pl.concat([response_schema(picked.inputs.concept).to_frame(), *responses]), corrected(
        pl.concat([VECTOR_SLOPES.to_frame(), *slopes])
    )


def _slopes(picked: Picked, part: Any, own: pl.DataFrame, between: tuple[float, float]) -> pl.DataFrame:
    drawn = {
        kind: part.random_slopes(picked.opened, replace(picked.steer, random=picked.random[kind]), between)
        for kind in KINDS
    }
    return beside_directions(
        {kind: summarise_slopes(picked.layer, own, random, picked.resampling) for kind, random in drawn.items()}
    )


def beside_directions(slopes: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The slopes of the same vectors against each kind of random directions, in one row; `q` is left null."""
    keys = ["layer", "language", "vector"]
    joined: pl.DataFrame | None = None
    for kind, column in KINDS.items():
        ends = [pl.col(f"control{end}").alias(f"{column}{end}") for end in ("", "_low", "_high")]
        own = slopes[kind].select(*keys, *ends, pl.col("p").alias(f"{column}_p"), pl.col("draws").alias(f"{column}_n"))
        first = slopes[kind].select(*keys, "images", "units", "slope", "low", "high", "isotonic_r2")
        joined = (first if joined is None else joined).join(own, on=keys, how="left", maintain_order="left")
    assert joined is not None
    both = pl.all_horizontal(pl.col(f"{column}_p").is_not_null() for column in KINDS.values())
    larger = pl.max_horizontal(f"{column}_p" for column in KINDS.values())
    fewer = pl.min_horizontal(f"{column}_n" for column in KINDS.values())
    found = joined.with_columns(pl.when(both).then(larger).alias("p"), fewer.alias("draws"), q=pl.lit(None, pl.Float64))
    return found.select(VECTOR_SLOPES.names()).cast(VECTOR_SLOPES)


def corrected(slopes: pl.DataFrame) -> pl.DataFrame:
    """With q over languages and vectors."""
    return corrected_within(slopes, pl.lit(True)).select(VECTOR_SLOPES.names())
