"""What a report says of its layers' rows: outliers, warnings, and γ beside the dead features."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from core.report.model import ReportInputs
from core.stats.intervals import bootstrap_spearman

LEAST_LAYERS = 10
"""A correlation over fewer layers has an interval too wide to say anything."""
_DRAWS = 1000
_BOTH = ("held_out_fvu", "held_out_fvu_with_outliers")


def health_words(inputs: ReportInputs) -> list[str]:
    """A sentence each on outliers, FVU with and without them, doubtful layers, and γ against dead features."""
    health, sae = inputs.health, inputs.sae
    lines = [*_outliers(health, inputs.study.get("capture", {}).get("max_norm_multiple")), *_fvu(sae)]
    return [*lines, *(f"{warning[0].upper()}{warning[1:]}." for warning in inputs.row_warnings), *_gamma(health, sae)]


def _outliers(health: pl.DataFrame, multiple: float | None) -> Iterator[str]:
    if "outlier_rows" not in health.columns or multiple is None:
        return
    some = health.filter(pl.col("outlier_rows") > 0)
    if some.is_empty():
        return
    most = some.sort("outlier_fraction", "layer", descending=[True, False]).row(0, named=True)
    yield (
        f"Outliers, rows whose norm exceeds {multiple:g} times the median of their layer, are left out of training and "
        f"statistics: {some['outlier_rows'].sum():,} in {some.height} of {health.height} layers, most in layer "
        f"{most['layer']} ({most['outlier_rows']:,}, {most['outlier_fraction']:.2%} of its rows, which hold "
        f"{most['outlier_share']:.1%} of the squared norm)."
    )


def _fvu(sae: pl.DataFrame) -> Iterator[str]:
    if not set(_BOTH) <= set(sae.columns):
        return
    both = sae.drop_nulls(_BOTH)
    if both.height:
        without, including = (float(both[name].median()) for name in _BOTH)  # type: ignore[arg-type]
        median = f"the median of the {both.height} layers that hold some"
        where = f"layer {both['layer'][0]}" if both.height == 1 else median
        yield f"FVU on selection rows is {without:.3f} without outliers and {including:.3f} with them in {where}."


def _gamma(health: pl.DataFrame, sae: pl.DataFrame) -> Iterator[str]:
    if "gamma" not in health.columns or "dead_fraction" not in sae.columns:
        return
    both = health.select("layer", "gamma").join(sae.select("layer", "dead_fraction"), on="layer").drop_nulls()
    if both.height < LEAST_LAYERS:
        return
    gamma, dead = (both[name].to_numpy() for name in ("gamma", "dead_fraction"))
    found = bootstrap_spearman(gamma, dead, _DRAWS, seed=0)
    if np.isfinite(found.mean):
        yield (
            f"Over {both.height} layers, γ = ‖μ‖ / ‖σ‖ of the rows and the share of dead features have a rank "
            f"correlation of {found} (Spearman; bootstrap over layers, which are not independent of each other)."
        )
