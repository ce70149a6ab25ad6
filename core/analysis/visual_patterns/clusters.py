"""Clusters of live features by where in the image and on what they fire: how many, which, and how stable.

Stability is the adjusted Rand index between the clusters of all test images and those of resampled ones (Ben-Hur,
Elisseeff & Guyon 2002; Hubert & Arabie 1985). Clustering finds clusters in anything, so the same is done with features
whose maps are shifted at random and with attributes that other images have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.analysis.visual_patterns.described import Attributes, Described, Firing
from core.stats.clusters import LEAST, Clustering, adjusted_rand, cluster, cluster_into
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.families import corrected_within
from core.stats.intervals import permutation_p, weights

RESAMPLES = 100
"""Resamples of the images that are compared with all of them."""
NULL_RESAMPLES = 10
"""The same for each draw without a pattern: fewer, so that the mean of a draw varies more and p errs upward."""
DRAWS = 99
"""Draws without a pattern."""
_NAMED = 3

CLUSTERS = pl.Schema(
    {
        "layer": pl.UInt16(),
        "cluster": pl.UInt16(),
        "features": pl.UInt32(),
        "silhouette": pl.Float64(),
        "what": pl.String(),
        "members": pl.List(pl.UInt32()),
        "map": pl.List(pl.Float32()),
    }
)
STABILITY = pl.Schema(
    {
        "layer": pl.UInt16(),
        "features": pl.UInt32(),
        "images": pl.UInt32(),
        "clusters": pl.UInt16(),
        "silhouette": pl.Float64(),
        **dict.fromkeys(("rand", "low", "high", "null", "null_low", "null_high"), pl.Float64()),
        "draws": pl.UInt32(),
        **dict.fromkeys(("null_clusters", "null_silhouette", "p", "q"), pl.Float64()),
    }
)


@dataclass(frozen=True)
class Clustered:
    """The clusters of a layer: their rows of `CLUSTERS`, and the layer's row of `STABILITY`."""

    clusters: list[dict[str, Any]]
    stability: dict[str, Any]


def cluster_layer(
    layer: int, firing: Firing, attributes: Attributes, units: Int[np.ndarray, " N"], seed: int
) -> Clustered | None:
    """Cluster a layer's features; null where fewer than 6 fire on enough images."""
    if len(firing.features) < LEAST:
        return None
    images = len(units)
    drawn = weights(images, RESAMPLES, seed, units).astype(np.float64)
    described = Described.of(firing, attributes, np.concatenate([np.ones((1, images)), drawn]))
    own = cluster(described.numbers(0))
    agreed = agreement(described, RESAMPLES, own.count)[:, 0]
    random = np.random.default_rng([seed, 5])
    nulls = [_null(described, units, own.count, random) for _ in range(DRAWS)]
    rand, counts, silhouettes = (np.array(part) for part in zip(*nulls, strict=True))
    low, high = np.quantile(agreed, [0.025, 0.975])
    null_low, null_high = np.quantile(rand, [0.025, 0.975])
    found: dict[str, Any] = {"layer": layer, "features": len(firing.features), "images": images, "clusters": own.count}
    found |= {"silhouette": own.width, "rand": float(agreed.mean()), "low": float(low), "high": float(high)}
    found |= {"null": float(rand.mean()), "null_low": float(null_low), "null_high": float(null_high), "draws": DRAWS}
    found |= {"null_clusters": float(np.median(counts)), "null_silhouette": float(silhouettes.mean())}
    found["p"] = permutation_p(float(agreed.mean()), rand)
    return Clustered(list(_rows(layer, described, own)), found)


def agreement(described: Described, resamples: int, *counts: int) -> Float[np.ndarray, "R C"]:
    """Adjusted Rand index of the clusters of all images with those of each resample, for some numbers of clusters."""
    whole = cluster_into(described.numbers(0), *counts)
    found = (cluster_into(described.numbers(number), *counts) for number in range(1, resamples + 1))
    return np.array([[adjusted_rand(*pair) for pair in zip(whole, own, strict=True)] for own in found])


def _null(
    described: Described, units: Int[np.ndarray, " N"], count: int, random: np.random.Generator
) -> tuple[float, int, float]:
    """Mean agreement, number of clusters and silhouette of one draw without a pattern.

    Few clusters agree more easily: of the draw's own number and the measured one, the one that agrees more counts.
    """
    shuffled = described.without_pattern(units, random)
    own = cluster(shuffled.numbers(0))
    agreed = agreement(shuffled, NULL_RESAMPLES, own.count, count).mean(axis=0)
    return float(agreed.max()), own.count, own.width


def _rows(layer: int, described: Described, own: Clustering) -> list[dict[str, Any]]:
    firing, odds = described.firing, described.what(0)
    shares, rows = np.square(described.maps[0]), []
    for number in range(own.count):
        inside = own.labels == number
        mean = odds[inside].mean(axis=0)
        best = [int(value) for value in np.argsort(-mean, kind="stable")[:_NAMED] if mean[value] > 0]
        rows.append(
            {
                "layer": layer,
                "cluster": number + 1,
                "features": int(inside.sum()),
                "silhouette": float(own.widths[inside].mean()),
                "what": ", ".join(f"{described.attributes.names[value]} ({mean[value]:+.2f})" for value in best),
                "members": firing.features[inside].tolist(),
                "map": shares[inside].mean(axis=0).tolist(),
            }
        )
    return rows


def cluster_tables(found: list[Clustered]) -> dict[str, pl.DataFrame]:
    """`clusters`, and `cluster_stability` with q over the layers."""
    clusters = pl.DataFrame([row for layer in found for row in layer.clusters], schema=CLUSTERS)
    measured = {name: kind for name, kind in STABILITY.items() if name != "q"}
    stability = corrected_within(pl.DataFrame([layer.stability for layer in found], schema=measured), pl.lit(True))
    return {"clusters": clusters, "cluster_stability": stability.select(STABILITY.names())}


def cluster_estimate(stability: pl.DataFrame, layer: int, chosen: str) -> tuple[Estimate, ...]:
    """The stability at a layer; `chosen` says how the layer was."""
    rows = stability.filter(pl.col("layer") == layer).rows(named=True)
    return tuple(_stability(row, chosen, stability.height) for row in rows)


def _stability(row: Mapping[str, Any], chosen: str, layers: int) -> Estimate:
    apart = f"silhouette {row['silhouette']:.2f}, without a pattern {row['null_silhouette']:.2f}"
    return Estimate(
        name="clusters",
        quantity="adjusted Rand index of clusters of features by where and what, all images against resampled ones",
        value=row["rand"],
        unit="",
        n=row["images"],
        counted="test images",
        source=Source("cluster_stability", {"layer": row["layer"]}, "rand"),
        interval=(row["low"], row["high"]),
        control=Control.of("draws of shifted maps and exchanged attributes", row, "null"),
        null=row["null"],
        sides=1,
        p=row["p"],
        q=row["q"],
        family=number_of(layers, "layer"),
        draws=row["draws"],
        layer=row["layer"],
        condition=f"{row['features']} live features in {number_of(row['clusters'], 'cluster')}",
        chosen=chosen,
        caveats=(
            f"{apart}; there, {row['null_clusters']:g} clusters are found",
            "the interval is that of one resample",
        ),
    )
