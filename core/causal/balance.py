"""How alike a chosen feature set and its random sets are, in what they were matched on."""

import numpy as np
import polars as pl

from core.causal.controls import RandomSets, Traits
from core.features.layer_view import LayerView

BALANCE = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "measure": pl.String,
        "chosen": pl.Float64,
        "drawn": pl.Float64,
        "drawn_low": pl.Float64,
        "drawn_high": pl.Float64,
        "caliper": pl.Float64,
    }
)
"""One row per language and measure: the chosen set, the mean and central 95 % of the random ones, and the caliper."""
RATE, CONTRIBUTION = "firing rate", "mean squared contribution"
NORMS = ("mean activation, image", "mean activation, prompt", "mean activation, before the word")


def balance(view: LayerView, chosen: tuple[int, ...], control: RandomSets) -> pl.DataFrame:
    """The rows of `BALANCE` of one chosen set, on the selection split; without random sets `drawn` is null."""
    traits = Traits.of_features(view).of_sets(np.array([chosen, *control.draws]))
    measures = {RATE: traits.rate, CONTRIBUTION: traits.contribution, **dict(zip(NORMS, traits.norm, strict=True))}
    rows = []
    for place, language in enumerate(view.profile.languages):
        for measure, values in measures.items():
            row = {"layer": view.layer, "language": language, "measure": measure, "caliper": control.caliper}
            rows.append(row | _spread(values[place]))
    return pl.DataFrame(rows, schema=BALANCE)


def _spread(values: np.ndarray) -> dict[str, float]:
    """The first value, and what the others are."""
    drawn = values[1:]
    if not drawn.size:
        return {"chosen": float(values[0])}
    low, high = (float(end) for end in np.quantile(drawn, [0.025, 0.975]))
    return {"chosen": float(values[0]), "drawn": float(drawn.mean()), "drawn_low": low, "drawn_high": high}
