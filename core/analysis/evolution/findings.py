"""The evolution's estimates: persistence beyond rate-matched features, and what is described beside it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from core.analysis.evolution.ceiling import ceiling_caveat, ceiling_findings, ceiling_summary
from core.analysis.evolution.persistence import Beyond
from core.stats.estimate import Control, Estimate, Source
from core.stats.intervals import bootstrap_mean
from core.stats.rate_matching import CALIPER

BOOTSTRAP = 1000
_MATCHED = f"sets of features that fire as often (within a factor of {CALIPER:g}) and have no association"

_SUMMARY: dict[str, Any] = {
    "measure": pl.String,
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    "n": pl.UInt32,
    **dict.fromkeys(("null", "null_low", "null_high"), pl.Float64),
    "draws": pl.UInt32,
    "p": pl.Float64,
}
SUMMARY = pl.Schema(_SUMMARY)
"""One row a measure over all layers: its interval, n, and for what is tested the draws' mean and central 95 %."""


def summary_table(tables: Mapping[str, pl.DataFrame], beyond: Beyond, seed: int) -> pl.DataFrame:
    """The measures that the findings name."""
    live = bootstrap_mean(tables["flow"]["persistence"].to_numpy(), BOOTSTRAP, seed)
    table = tables["lifetimes"]
    lengths = np.repeat(table["lifetime"].to_numpy(), table["tracks"].to_numpy())
    tested = {"null": beyond.null, "null_low": beyond.null_low, "null_high": beyond.null_high}
    interval = {"value": beyond.value, "low": beyond.low, "high": beyond.high, "n": beyond.chains}
    rows = [
        {"measure": "ranked - matched", **interval, **tested, "draws": beyond.draws, "p": beyond.p},
        {"measure": "ranked", "value": beyond.ranked, "n": beyond.features},
        {"measure": "matched", "value": beyond.control, "n": beyond.features},
        {
            "measure": "live",
            **{"value": live.mean, "low": live.low, "high": live.high},
            "n": int(tables["flow"]["persistence"].is_finite().sum()),
        },
        {"measure": "lifetime", "value": float(np.median(lengths)) if lengths.size else math.nan, "n": lengths.size},
    ]
    if "ceiling" in tables:
        rows += ceiling_summary(tables["flow"], tables["ceiling"], seed)
    return pl.DataFrame(rows, SUMMARY)


def findings(summary: pl.DataFrame, cut_short: int, ranked: str, counted: str) -> tuple[Estimate, ...]:
    """The estimates.

    Args:
        summary: `summary_table`.
        cut_short: chains that touch the first or the last layer.
        ranked: how the followed features were chosen.
        counted: images or items.
    """
    rows = {row["measure"]: row for row in summary.rows(named=True)}
    beside, ceiling = _beside(rows["ranked"], rows["matched"]), ceiling_caveat(summary)
    return (
        Estimate(
            name="persistence",
            quantity="share of features with a match in the next layer, minus that of rate-matched features",
            unit="points",
            counted=f"chains of features on test {counted}",
            control=Control.of(_MATCHED, rows["ranked - matched"], "null"),
            p=rows["ranked - matched"]["p"],
            draws=rows["ranked - matched"]["draws"] or 0,
            condition=ranked,
            answers=True,
            caveats=(ceiling, beside),
            **_of(rows["ranked - matched"]),
        ),
        Estimate(
            name="persistence.live",
            quantity="share of a layer's live features with a match in the next layer",
            unit="share",
            counted="pairs of layers, interval over them",
            condition="matches above the 99.9th percentile of permuted rows",
            described=True,
            **_of(rows["live"]),
        ),
        Estimate(
            name="lifetime",
            quantity="median lifetime of a chain of matches",
            unit="measured layers",
            counted="chains",
            condition=f"{cut_short:,} of them touch the first or the last layer and may be longer",
            described=True,
            **_of(rows["lifetime"]),
        ),
        *ceiling_findings(summary),
    )


def _of(row: Mapping[str, Any]) -> dict[str, Any]:
    known = row["low"] is not None and math.isfinite(row["low"])
    return {
        "value": row["value"],
        "n": row["n"],
        "interval": (row["low"], row["high"]) if known else None,
        "source": Source("summary", {"measure": row["measure"]}, "value"),
    }


def _beside(ranked: Mapping[str, Any], matched: Mapping[str, Any]) -> str:
    if not math.isfinite(ranked["value"]):
        return "no feature of the followed layers has rate-matched ones that are not ranked themselves"
    return f"{ranked['value']:.1%} of the features have a match, {matched['value']:.1%} of the rate-matched ones"
