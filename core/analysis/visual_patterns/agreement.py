"""How well maps agree with causal maps, beyond what random images' cells in place of the twin's would show."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import stats

from core.causal.maps import CausalMap, block_of_cell
from core.features.inputs import AnalysisInputs
from core.stats.intervals import Interval, bootstrap_mean, permutation_p

DRAWS = 1000
"""Assignments of the swaps that are drawn at most; where there are no more, all are taken."""

_CAUSAL: dict[str, Any] = {
    "layer": pl.UInt16,
    "feature": pl.UInt32,
    "image_id": pl.String,
    "kind": pl.String,
    "swap": pl.UInt16,
    "spearman": pl.Float64,
    "map": pl.List(pl.Float32),
    "causal": pl.List(pl.Float32),
}
CAUSAL = pl.Schema(_CAUSAL)
_AGREEMENT: dict[str, Any] = {
    "layer": pl.UInt16,
    "images": pl.UInt32,
    "features": pl.UInt32,
    **dict.fromkeys(("spearman", "low", "high", "random"), pl.Float64),
    "compared": pl.UInt32,
    **dict.fromkeys(("above_random", "above_random_low", "above_random_high"), pl.Float64),
    **dict.fromkeys(("null", "null_low", "null_high"), pl.Float64),
    "draws": pl.UInt32,
    **dict.fromkeys(("p", "q"), pl.Float64),
}
AGREEMENT = pl.Schema(_AGREEMENT)


def compare_maps(causal: CausalMap, cells: Float[np.ndarray, " P"]) -> dict[str, Any]:
    """A row of `CAUSAL`: the map, the causal map, and their rank correlation over blocks."""
    blocks = np.bincount(block_of_cell(cells.size), weights=cells)
    return {
        "layer": causal.layer,
        "feature": causal.feature,
        "image_id": causal.image_id,
        "kind": causal.kind,
        "swap": causal.swap,
        "spearman": rank_correlation(blocks, causal.blocks),
        "map": blocks.tolist(),
        "causal": causal.blocks.tolist(),
    }


def rank_correlation(cells: Float[np.ndarray, " C"], falls: Float[np.ndarray, " C"]) -> float:
    """Spearman's ρ; NaN where the map is the same everywhere, 0 where every block's replacement does the same."""
    if np.ptp(cells) == 0:
        return math.nan
    return 0.0 if np.ptp(falls) == 0 else float(stats.spearmanr(cells, falls).statistic)


class Swaps(NamedTuple):
    """Rank correlations of one image, averaged over features: that of the real replacement, and of random ones."""

    image: str
    real: float
    random: Float[np.ndarray, " R"]


def agreement_table(causal: pl.DataFrame, inputs: AnalysisInputs, draws: int) -> pl.DataFrame:
    """Rank correlations by layer, averaged over each image's features first, with `draws` resamples of units."""
    rows = []
    for (layer,), part in causal.filter(pl.col("spearman").is_finite()).group_by("layer", maintain_order=True):
        swaps = by_image(part)
        if not swaps:
            continue
        real = np.array([one.real for one in swaps])
        units = inputs.units([one.image for one in swaps])
        found = bootstrap_mean(real, draws, inputs.seed, units)
        counted = {"layer": layer, "images": len(swaps), "features": part["feature"].n_unique()}
        shown = {"spearman": found.mean, "low": found.low, "high": found.high}
        rows.append({**counted, **shown, **_against_random(swaps, units, draws, inputs.seed)})
    return pl.DataFrame(rows, schema=AGREEMENT).sort("layer")


def by_image(part: pl.DataFrame) -> list[Swaps]:
    """The mean over features of every image and swap; images without the real replacement are left out."""
    means = part.group_by("image_id", "swap").agg(pl.col("spearman").mean()).sort("image_id", "swap")
    found = []
    for (image,), own in means.group_by("image_id", maintain_order=True):
        values = dict(own.select("swap", "spearman").iter_rows())
        random = np.array([value for swap, value in values.items() if swap > 0])
        if 0 in values:
            found.append(Swaps(str(image), values[0], random))
    return found


def _against_random(
    swaps: Sequence[Swaps], units: Int[np.ndarray, " n"], draws: int, seed: int
) -> dict[str, float | int | None]:
    some = [number for number, one in enumerate(swaps) if one.random.size]
    if not some:
        return {"random": math.nan, "compared": 0, "above_random": math.nan, "draws": 0, "p": None}
    kept = [swaps[number] for number in some]
    above = bootstrap_mean(np.array([_contrasts(one)[0] for one in kept]), draws, seed, units[some])
    null = relabelled(kept, seed)
    spread = _spread(null)
    return {
        "random": float(np.mean([one.random.mean() for one in kept])),
        "compared": len(kept),
        **{"above_random": above.mean, "above_random_low": above.low, "above_random_high": above.high},
        **{"null": spread.mean, "null_low": spread.low, "null_high": spread.high},
        "draws": null.size,
        "p": permutation_p(abs(above.mean), np.abs(null)),
    }


def _contrasts(one: Swaps) -> Float[np.ndarray, " R1"]:
    """Each replacement's rank correlation minus the mean of the image's others, the real one first."""
    values = np.concatenate([[one.real], one.random])
    return np.asarray(values - (values.sum() - values) / (values.size - 1))


def relabelled(swaps: Sequence[Swaps], seed: int) -> Float[np.ndarray, " draws"]:
    """The mean contrast when any of an image's replacements could be the real one: all other assignments where they
    are at most `DRAWS`, else that many random ones."""
    contrasts = [_contrasts(one) for one in swaps]
    if math.prod(own.size for own in contrasts) - 1 <= DRAWS:
        others = itertools.islice(itertools.product(*contrasts), 1, None)  # the first is as it was
        return np.array([np.mean(one) for one in others])
    random = np.random.default_rng([seed, 3])
    return np.asarray(np.mean([own[random.integers(own.size, size=DRAWS)] for own in contrasts], axis=0))


def _spread(null: Float[np.ndarray, " draws"]) -> Interval:
    low, high = np.quantile(null, [0.025, 0.975])
    return Interval(float(low), float(null.mean()), float(high))
