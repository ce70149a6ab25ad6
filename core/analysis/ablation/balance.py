"""How alike the features taken out and their random sets are: firing rate, mean squared contribution, added norm."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from core.analysis.ablation.measures import SEGMENT_NAMES, Measured, Target
from core.features.profile import SEGMENTS

BALANCE = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "segment": pl.String,
        "measure": pl.String,
        "chosen": pl.Float64,
        "drawn": pl.Float64,
        "drawn_low": pl.Float64,
        "drawn_high": pl.Float64,
    }
)
RATE, CONTRIBUTION = "firing rate", "mean squared contribution"
ADDED = {"norm": "‖Δx‖", "relative_norm": "‖Δx‖ / ‖x‖"}


def balance(target: Target, measured: Sequence[Measured]) -> pl.DataFrame:
    """One row per language, segment and measure: the chosen set, and the mean and central 95 % of the random sets.

    Firing rate (mean over a set's features) and mean squared contribution (summed) are those of the selection split,
    which the sets were matched on; ‖Δx‖ is what the ablation takes out of the stream on the measured images.
    """
    rows = [*_profiled(target), *(row for part in measured for row in _added(part))]
    return pl.DataFrame([{"layer": target.layer, **row} for row in rows], schema=BALANCE)


def _profiled(target: Target) -> list[dict[str, object]]:
    profile, chosen = target.view.profile, [list(target.features)]
    sets = np.array([*chosen, *target.control.draws])
    rows: list[dict[str, object]] = []
    for language, place in ((name, number) for number, name in enumerate(profile.languages)):
        for segment, code in enumerate(SEGMENTS):
            if not profile.rows[segment, place]:
                continue
            rates = profile.rate[segment, place][sets].mean(axis=1)
            powers = profile.power[segment, place][sets].sum(axis=1)
            cell = {"language": language, "segment": SEGMENT_NAMES[code]}
            rows += [{**cell, "measure": RATE, **_spread(rates)}, {**cell, "measure": CONTRIBUTION, **_spread(powers)}]
    return rows


def _added(part: Measured) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for (language, segment), cell in part.norms.group_by(["language", "segment"], maintain_order=True):
        ordered = cell.sort("draw")  # −1 is the chosen set
        for column, measure in ADDED.items():
            where = {"language": language, "segment": segment, "measure": measure}
            rows.append({**where, **_spread(ordered[column].to_numpy())})
    return rows


def _spread(values: np.ndarray) -> dict[str, float | None]:
    """The first value, and what the others are."""
    drawn = values[1:]
    if not drawn.size:
        return {"chosen": float(values[0])}
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "chosen": float(values[0]),
        "drawn": float(drawn.mean()),
        "drawn_low": float(low),
        "drawn_high": float(high),
    }
