"""I(f, g) = Δ(fg) − Δ(f) − Δ(g) of pairs of features, image by image; Δ is the shift by zero ablation."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl
from jaxtyping import Float

from core.causal.interventions import Ablation
from core.causal.runs import PairRuns
from core.features.layer_view import LayerView

CHOSEN = -1
"""The number of the chosen set; random sets count from 0."""
SHIFTS = pl.Schema(
    {
        "language": pl.String,
        "set": pl.Int64,
        "place": pl.Int64,
        "feature": pl.UInt32,
        "partner": pl.UInt32,
        "image_id": pl.String,
        "shift": pl.Float64,
        "partner_shift": pl.Float64,
        "both_shift": pl.Float64,
        "interaction": pl.Float64,
    }
)
"""One row per pair and caption, in nats toward the other side: ablating the one feature, the other, and both. `place`
numbers a set's pairs: the features of a random set stand in the order of the chosen ones that they are matched with."""


def measure(runs: PairRuns, view: LayerView, language: str, sets: Sequence[Sequence[int]]) -> pl.DataFrame:
    """All pairs of each set, the first of which is the chosen one: the rows of `SHIFTS`. No pass is run twice."""
    sites = runs.sites(view)
    clean = runs.log_odds(view.layer, [site.stream for site in sites])
    signs = np.array([pair.sign for pair in runs.pairs])
    known: dict[tuple[int, ...], Float[np.ndarray, " N"]] = {}

    def shift(*features: int) -> Float[np.ndarray, " N"]:
        if features not in known:
            known[features] = signs * (runs.patched(view.layer, sites, Ablation(features)) - clean)
        return known[features]

    images = [pair.image_id for pair in runs.pairs]
    frames = [SHIFTS.to_frame()]
    for number, features in enumerate(sets, CHOSEN):
        for place, (one, other) in enumerate(combinations(features, 2)):
            first, second, both = shift(one), shift(other), shift(*sorted((one, other)))
            columns = {
                "language": [language] * len(images),
                "set": [number] * len(images),
                "place": [place] * len(images),
                "feature": [one] * len(images),
                "partner": [other] * len(images),
                "image_id": images,
                "shift": first,
                "partner_shift": second,
                "both_shift": both,
                "interaction": both - first - second,
            }
            frames.append(pl.DataFrame(columns, schema=SHIFTS))
    return pl.concat(frames)
