"""Classes by layer, and the measures that the findings name."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from core.analysis.language_specific.profiles import BOOTSTRAP, Means, Profiles
from core.stats.families import corrected_within
from core.stats.intervals import bootstrap_mean, permutation_p, wilson

CLASSES = pl.Schema(
    {
        "dictionary": pl.String,
        "layer": pl.UInt16,
        "class": pl.String,
        "features": pl.UInt32,
        **dict.fromkeys(("share", "low", "high"), pl.Float64),
        "holds": pl.UInt32,
        **dict.fromkeys(("swapped", "swapped_low", "swapped_high"), pl.Float64),
    }
)
"""One row a dictionary, layer and class by the selection split: its features, their share of the live ones with its
Wilson interval over features, how many of them have their whole interval on test images within the class's bounds, and
the share where captions are swapped at random. The shares are null where no feature is live."""

_SUMMARY: dict[str, Any] = {
    "measure": pl.String,
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    "n": pl.UInt32,
    **dict.fromkeys(("control", "control_low", "control_high"), pl.Float64),
    "draws": pl.UInt32,
    **dict.fromkeys(("p", "q"), pl.Float64),
}
SUMMARY = pl.Schema(_SUMMARY)
"""One row a measure over all layers; q over all rows that have a p."""


def class_table(dictionary: str, layers: Mapping[int, Profiles], names: Sequence[str]) -> pl.DataFrame:
    """One dictionary's rows of `CLASSES`."""
    rows: list[tuple[Any, ...]] = []
    for layer, found in layers.items():
        if not found.table.height:
            rows += [(dictionary, layer, name, 0, None, None, None, 0, None, None, None) for name in names]
            continue
        shares = found.swapped / found.table.height
        null_low, null_high = np.quantile(shares, [0.025, 0.975], axis=0)
        for place, name in enumerate(names):
            own = found.table.filter(pl.col("class") == name)
            low, share, high = wilson(own.height, found.table.height)
            null = (shares[:, place].mean(), null_low[place], null_high[place])
            rows.append((dictionary, layer, name, own.height, share, low, high, int(own["holds"].sum()), *null))
    return pl.DataFrame(rows, CLASSES, orient="row")


def summary_table(
    found: Mapping[str, Mapping[int, Profiles]], names: Sequence[str], images: int, seed: int
) -> pl.DataFrame:
    """What the classes come to over all layers.

    Args:
        found: profiles by dictionary and layer, those of the SAEs first.
        names: the classes.
        images: test images.
        seed: of the resampling of layers.

    Returns:
        The share of each class among the live features, against swapped captions; `selectivity NAME`, on test images,
        of the features of each language (NaN where there are none in any layer); and, by class, the share less the
        frozen dictionary's, layer by layer.
    """
    own, *others = found.values()
    rows = [_share(name, place, list(own.values())) for place, name in enumerate(names)]
    means = [one.means for one in own.values() if np.isfinite(one.means.observed).any()]
    rows += [_selectivity(name, place, means, images) for place, name in enumerate(names[:2])]
    for frozen in others:
        rows += [_beyond(name, (own, frozen), seed) for name in names]
    return corrected_within(pl.DataFrame(rows, SUMMARY), pl.lit(0))


def _share(name: str, place: int, layers: Sequence[Profiles]) -> dict[str, Any]:
    live = sum(one.table.height for one in layers)
    counted = sum(int((one.table["class"] == name).sum()) for one in layers)
    swapped = np.sum([one.swapped[:, place] for one in layers], axis=0) / max(live, 1)
    low, share, high = wilson(counted, live)
    tested = place < 2  # a share of shared features needs no test: swapped captions make every feature shared
    return {"measure": name, "value": share, "low": low, "high": high, "n": live, **_null(share, swapped, tested)}


def _selectivity(name: str, place: int, layers: Sequence[Means], images: int) -> dict[str, Any]:
    """Averaged over the layers that have such features; of Arabic ones with the sign turned."""
    sign = 1 - 2 * place
    parts = [
        np.array([sign * getattr(one, what)[..., place] for one in layers])
        for what in ("observed", "resampled", "swapped")
    ]
    kept = np.isfinite(parts[0])
    if not kept.any():
        return {"measure": f"selectivity {name}", "value": math.nan, "n": images}
    value, resampled, swapped = (np.nanmean(part[kept], axis=0) for part in parts)
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    interval = {"measure": f"selectivity {name}", "value": float(value), "low": low, "high": high, "n": images}
    return {**interval, **_null(float(value), swapped, tested=True)}


def _null(value: float, swapped: Float[np.ndarray, " swaps"], tested: bool) -> dict[str, Any]:
    if not tested or not math.isfinite(value):
        return {}
    low, high = np.quantile(swapped, [0.025, 0.975])
    control = {"control": float(swapped.mean()), "control_low": low, "control_high": high, "draws": swapped.size}
    return {**control, "p": permutation_p(value, swapped)}


def _beyond(
    name: str, dictionaries: tuple[Mapping[int, Profiles], Mapping[int, Profiles]], seed: int
) -> dict[str, Any]:
    """The SAEs' share less the frozen dictionaries', over the layers where both have live features."""
    pairs = [(dictionaries[0][layer], other) for layer, other in dictionaries[1].items()]
    differences = [
        _part(own, name) - _part(other, name) for own, other in pairs if own.table.height and other.table.height
    ]
    low, mean, high = bootstrap_mean(np.array(differences), BOOTSTRAP, seed)
    return {"measure": f"{name} - frozen", "value": mean, "low": low, "high": high, "n": len(differences)}


def _part(found: Profiles, name: str) -> float:
    return float((found.table["class"] == name).mean())  # type: ignore[arg-type]
