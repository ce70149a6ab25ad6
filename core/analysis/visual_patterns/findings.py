"""The visual patterns' estimates: the pointing game at the layer picked on the selection split, and the agreement."""

import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from core.analysis.visual_patterns.clusters import cluster_estimate
from core.features.significance import how_many
from core.stats.estimate import Control, Estimate, Source
from core.stats.families import corrected_within
from core.stats.picking import picked_layer
from core.stats.rate_matching import CALIPER

_MATCHED = f"sets of features without the association that fire on as many image rows (within a factor of {CALIPER:g})"


def correct_together(localisation: pl.DataFrame, agreement: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The two tables with q: all their tests are one family, rows without a p are in none."""
    both = pl.concat([localisation.select("p"), agreement.select("p")])
    q = corrected_within(both, pl.lit(True))["q"]
    return {
        "localisation": localisation.with_columns(q[: localisation.height]),
        "agreement": agreement.with_columns(q[localisation.height :]),
    }


def findings(tables: Mapping[str, pl.DataFrame], concept: str, box: str = "person") -> tuple[Estimate, ...]:
    """One estimate per box and one of the agreement, all at one layer; that of `box` answers the question."""
    if tables["layers"].is_empty():
        return ()
    layer = picked_layer(tables["layers"])
    shared = _shared(tables, layer, concept)
    at_layer = tables["localisation"].filter(pl.col("feature").is_null() & (pl.col("layer") == layer))
    pointing = [_pointing(row, shared, box) for row in at_layer.rows(named=True)]
    agreement = tables["agreement"].filter(pl.col("layer") == layer)
    grouped = tables.get("cluster_stability", pl.DataFrame({"layer": []}))
    clusters = cluster_estimate(grouped, layer, shared["chosen"]) if grouped.height else ()
    return (*pointing, *clusters, *(_agreement(row, tables["causal"], shared) for row in agreement.rows(named=True)))


def _shared(tables: Mapping[str, pl.DataFrame], layer: int, concept: str) -> dict[str, Any]:
    """What all estimates say alike."""
    layers = tables["layers"]
    row = layers.filter(pl.col("layer") == layer).row(0, named=True)
    ranked = f"{row['features']} features ranked highest for {concept} on the selection split"
    several = f"of {layers.height} layers, the one with the strongest association on the selection split"
    return {
        "layer": layer,
        "chosen": several if layers.height > 1 else "",
        "condition": f"{ranked}, {how_many(row['significant'], row['features'])}",
        "family": _family(tables),
    }


def _family(tables: Mapping[str, pl.DataFrame]) -> str:
    counts = {name: tables[name]["p"].drop_nulls().len() for name in ("localisation", "agreement")}
    words = {"localisation": "of boxes by layer", "agreement": "of causal maps by layer"}
    return "tests: " + ", ".join(f"{count} {words[name]}" for name, count in counts.items() if count)


def _pointing(row: Mapping[str, Any], shared: Mapping[str, Any], main: str) -> Estimate:
    box = row["box"]
    return Estimate(
        name=f"pointing.{box}",
        quantity=f"share of images whose strongest cell lies on the {box}, minus that of matched features",
        value=row["above_control"],
        unit="points",
        n=row["compared"],
        counted="test images",
        source=Source("localisation", {"layer": row["layer"], "feature": None, "box": box}, "above_control"),
        interval=_ends(row, "above_control"),
        control=Control.of(_MATCHED, row, "null"),
        p=row["p"],
        q=row["q"],
        draws=row["draws"],
        answers=box == main,
        caveats=_baselines(row),
        **shared,
    )


def _baselines(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The middle of the image and a random cell, beside what was measured: the stronger one first."""
    if not math.isfinite(row["pointing"]):
        return ()
    shown = {"a map of the image's middle": row["centre"], "a random cell": row["chance"]}
    ordered = sorted(shown.items(), key=lambda one: -one[1])
    others = ", ".join(f"{name} {share:.1%}" for name, share in ordered)
    text = f"the features point there on {row['pointing']:.1%} of {row['images']:,} images, {others}"
    return (text,)


def _agreement(row: Mapping[str, Any], causal: pl.DataFrame, shared: Mapping[str, Any]) -> Estimate:
    kinds = causal.filter((pl.col("layer") == row["layer"]) & (pl.col("swap") == 0))["kind"].unique().sort().to_list()
    words = {"twin-swap": "the twin's", "occlusion": "the image's mean"}
    replaced = f"each cell replaced by {' or '.join(words[kind] for kind in kinds)}"
    return Estimate(
        name="agreement",
        quantity="rank correlation of map and causal map, minus that under random images' cells",
        value=row["above_random"],
        unit="",
        n=row["compared"],
        counted="test images",
        source=Source("agreement", {"layer": row["layer"]}, "above_random"),
        interval=_ends(row, "above_random"),
        control=Control.of("assignments of the random swaps", row, "null"),
        p=row["p"],
        q=row["q"],
        draws=row["draws"],
        answers=True,
        caveats=_raw(row),
        **{**shared, "condition": f"{shared['condition']}, {replaced}"},
    )


def _raw(row: Mapping[str, Any]) -> tuple[str, ...]:
    span = f"{row['spearman']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    if not row["compared"]:
        return (f"no other image to draw cells from, so that the rank correlation {span} has no null",)
    return (f"the rank correlation itself is {span}, that under random images' cells {row['random']:.2f}",)


def _ends(row: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return (low, high) if low is not None and math.isfinite(low) else None
