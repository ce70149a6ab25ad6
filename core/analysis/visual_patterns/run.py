"""Where in the image a feature fires, against boxes, chance, the image's middle, and other features.

A map is correlational: image rows attend to each other both ways, so a feature may fire away from what it depends on.
Each cell's soft tokens are therefore replaced in turn (by the gender twin's, else by the image's mean), and the map is
compared with the causal map that this gives. Only image rows of test images are read.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy import stats

from core.analysis.result import Result
from core.analysis.visual_patterns import Config
from core.analysis.visual_patterns.image_maps import box_cells, find_grid
from core.analysis.visual_patterns.localisation import LOCALISATION, Boxes, MappedLayer, localise, top_maps
from core.causal.controls import matched_controls
from core.causal.maps import CausalMap, block_of_cell, causal_maps, replacements
from core.causal.pairs import choose_samples
from core.features.inputs import AnalysisInputs
from core.stats.intervals import bootstrap_mean
from core.stats.picking import of_layers, picked_layer

CONTROLS = 20
"""Random features, matched and not associated, whose maps are measured beside a layer's."""

_CAUSAL: dict[str, Any] = {
    "layer": pl.UInt16,
    "feature": pl.UInt32,
    "image_id": pl.String,
    "kind": pl.String,
    "spearman": pl.Float64,
    "map": pl.List(pl.Float32),
    "causal": pl.List(pl.Float32),
}
CAUSAL = pl.Schema(_CAUSAL)
LAYERS = pl.Schema({"layer": pl.UInt16, "association": pl.Float64})
"""How strongly each layer's chosen features go with gender on the selection split: what picks the headline's layer."""
AGREEMENT = pl.Schema(
    {
        "layer": pl.UInt16,
        "images": pl.UInt32,
        "features": pl.UInt32,
        "spearman": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
    }
)


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Map each layer's gender features over the test images."""
    if inputs.images is None:
        return Result((), {}, {}, notes=("Skipped: the study has no images.",))
    test = inputs.samples.filter((pl.col("split") == "test") & pl.col("image").is_not_null())
    test = test.unique("image_id", keep="first", maintain_order=True).sort("image_id")
    layers: list[MappedLayer] = []
    notes: list[str] = []
    for layer in inputs.chosen_layers(config.layers, "visual_patterns"):
        mapped = _map_layer(inputs, config, layer, test)
        if isinstance(mapped, str):
            notes.append(f"layer {layer}: {mapped}.")
        else:
            layers.append(mapped)
    boxes = _boxes(inputs, test, layers)
    if not boxes:
        notes.append("No boxes among the samples' columns (…_box): maps are shown, not scored.")
    causal = _causal(inputs, config, layers)
    tables = {
        "localisation": pl.concat(
            [LOCALISATION.to_frame(), *(localise(layer, boxes, config.bootstrap, inputs.seed) for layer in layers)]
        ),
        "causal": causal,
        "agreement": _agreement(causal, config.bootstrap, inputs.seed),
        "layers": pl.DataFrame([(layer.opened.layer, layer.association) for layer in layers], LAYERS, orient="row"),
    }
    if layers:
        tables["maps"] = pl.concat([top_maps(layer, test, config.top_images) for layer in layers])
    shown = {"localisation": "Maps against boxes", "agreement": "Maps against causal maps"}
    return Result(_headlines(tables), _metrics(tables), tables, shown, tuple(notes))


def _map_layer(inputs: AnalysisInputs, config: Config, layer: int, test: pl.DataFrame) -> MappedLayer | str:
    """The layer's features and grid, or why it cannot be mapped."""
    opened = inputs.open_layer(layer)
    features = opened.ranking.strongest(("image",))[: config.features]
    grid = find_grid(opened.table.tokens, test["image_id"].to_list())
    if grid is None:
        return "its image rows make no square grid"
    if not features:
        return "no feature passes the support filter on the selection split"
    control = matched_controls(opened, features, CONTROLS, inputs.seed)
    drawn = list(dict.fromkeys(feature for features in control.draws for feature in features))[:CONTROLS]
    return MappedLayer(opened, tuple(features), tuple(drawn), grid, opened.ranking.association(features, ("image",)))


def _boxes(inputs: AnalysisInputs, test: pl.DataFrame, layers: list[MappedLayer]) -> Boxes:
    columns = sorted(name for name, kind in test.schema.items() if name.endswith("_box") and kind == pl.List)
    columns = [name for name in columns if test[name].null_count() < test.height]
    if not layers:
        return {}
    side = layers[0].grid.side
    return {name.removesuffix("_box"): box_cells(inputs, test, name, side) for name in columns}


def _causal(inputs: AnalysisInputs, config: Config, layers: list[MappedLayer]) -> pl.DataFrame:
    """Maps and causal maps of a few test images, each pair with its rank correlation over cells."""
    if not layers or not config.occluded_images:
        return CAUSAL.to_frame()
    loaded = inputs.open_model()
    by_layer = {layer.opened.layer: (layer.opened, layer.features) for layer in layers}
    maps = {(layer.opened.layer, feature): layer.maps(feature) for layer in layers for feature in layer.features}
    place = {image: number for number, image in enumerate(layers[0].grid.images)}
    chosen = _most_mapped(inputs, config.occluded_images, maps, place)
    found = causal_maps(loaded, replacements(inputs, loaded, chosen), by_layer)
    rows = [_compare(one, maps[one.layer, one.feature][place[one.image_id]]) for one in found]
    return pl.DataFrame(rows, schema=CAUSAL)


def _most_mapped(
    inputs: AnalysisInputs, count: int, maps: Mapping[tuple[int, int], Float[np.ndarray, "N P"]], place: dict[str, int]
) -> pl.DataFrame:
    """The images on which most features fire at all: where a feature is silent, there is no map to check."""
    rows = choose_samples(inputs, len(place)).rows.filter(pl.col("image_id").is_in(list(place)))
    firing = np.stack([found.any(axis=1) for found in maps.values()]).sum(axis=0)
    counted = rows.with_columns(pl.Series("_firing", [int(firing[place[image]]) for image in rows["image_id"]]))
    return counted.sort("_firing", "image_id", descending=[True, False]).head(count).drop("_firing").sort("image_id")


def _compare(causal: CausalMap, cells: Float[np.ndarray, " P"]) -> dict[str, Any]:
    blocks = np.bincount(block_of_cell(cells.size), weights=cells)
    return {
        "layer": causal.layer,
        "feature": causal.feature,
        "image_id": causal.image_id,
        "kind": causal.kind,
        "spearman": rank_correlation(blocks, causal.blocks),
        "map": blocks.tolist(),
        "causal": causal.blocks.tolist(),
    }


def rank_correlation(one: Float[np.ndarray, " C"], other: Float[np.ndarray, " C"]) -> float:
    """Spearman's ρ; NaN where either is the same everywhere."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(stats.spearmanr(one, other).statistic)


def _agreement(causal: pl.DataFrame, draws: int, seed: int) -> pl.DataFrame:
    """Rank correlation by layer, averaged over each image's features first."""
    rows = []
    for (layer,), part in causal.filter(pl.col("spearman").is_finite()).group_by("layer", maintain_order=True):
        images = part.group_by("image_id", maintain_order=True).agg(pl.col("spearman").mean())
        found = bootstrap_mean(images["spearman"].to_numpy(), draws, seed)
        counted = {"layer": layer, "images": images.height, "features": part["feature"].n_unique()}
        rows.append({**counted, "spearman": found.mean, "low": found.low, "high": found.high})
    return pl.DataFrame(rows, schema=AGREEMENT).sort("layer")


def _headlines(tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    sentences = []
    if tables["layers"].is_empty():
        return ()
    layer, count = picked_layer(tables["layers"]), tables["layers"].height
    person = tables["localisation"].filter(
        pl.col("feature").is_null() & (pl.col("box") == "person") & (pl.col("images") > 0) & (pl.col("layer") == layer)
    )
    if person.height:
        row = person.row(0, named=True)
        excess = f"{row['excess'] * 100:+.0f} points [{row['excess_low'] * 100:+.0f}, {row['excess_high'] * 100:+.0f}]"
        sentences.append(
            f"At layer {layer} {of_layers(count, 'gender')} the gender features' strongest cell lies on the "
            f"person in {row['pointing']:.0%} of {row['images']} test images: {excess} above a random cell; the "
            f"image's middle scores {row['centre']:.0%}, matched other features {row['control']:.0%}."
        )
    agreement = tables["agreement"].filter(pl.col("layer") == layer)
    if agreement.height:
        row = agreement.row(0, named=True)
        sentences.append(
            f"Replacing cells one by one: maps agree with what the features depend on by rank correlation "
            f"{row['spearman']:.2f} [{row['low']:.2f}, {row['high']:.2f}] over {row['images']} images at layer "
            f"{row['layer']} (0: no better than a random cell)."
        )
    return tuple(sentences)


def _metrics(tables: Mapping[str, pl.DataFrame]) -> dict[str, float]:
    flat = {}
    for row in tables["localisation"].filter(pl.col("feature").is_null()).rows(named=True):
        for name in ("pointing", "excess", "iou"):
            if math.isfinite(row[name]):
                flat[f"layer_{row['layer']}.{row['box']}.{name}"] = float(row[name])
    for row in tables["agreement"].rows(named=True):
        flat[f"layer_{row['layer']}.causal_agreement"] = float(row["spearman"])
    return flat
