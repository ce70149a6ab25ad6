"""Where in the image a feature fires, against boxes, matched features, the image's middle, and a random cell.

A map is correlational: image rows attend to each other both ways, so a feature may fire away from what it depends on.
Each cell's soft tokens are therefore replaced in turn (by the twin's, else by the image's mean), and the map is
compared with the causal map that results. Only image rows of test images are read; all languages share them.
"""

import math
from collections.abc import Mapping

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.analysis.result import Result
from core.analysis.visual_patterns import Config
from core.analysis.visual_patterns.agreement import CAUSAL, agreement_table, compare_maps
from core.analysis.visual_patterns.clusters import cluster_layer, cluster_tables
from core.analysis.visual_patterns.described import LEAST_IMAGES, Attributes, Firing
from core.analysis.visual_patterns.findings import correct_together, findings
from core.analysis.visual_patterns.image_maps import box_cells, find_grid
from core.analysis.visual_patterns.localisation import LOCALISATION, Boxes, MappedLayer, localise, top_maps
from core.analysis.visual_patterns.matched import ImageResampling, match_features
from core.causal.maps import causal_maps, replacements
from core.causal.pairs import choose_samples
from core.data.concept import IMAGE
from core.features.inputs import AnalysisInputs
from core.features.significance import ranked_tests, significant, with_q
from core.stats.rate_matching import CALIPER

SHOWN_CLUSTERS = {
    "clusters": "Clusters of features by where and what",
    "cluster_stability": "Stability of the clusters",
}
LAYERS = pl.Schema(
    {
        "layer": pl.UInt16,
        "association": pl.Float64,
        "features": pl.UInt32,
        "significant": pl.UInt32,
        "matched": pl.UInt32,
    }
)
"""How strong the association of each layer's chosen features with the concept is on the selection split, which picks
the layer of the findings; how many of them are significant there, and how many have a match."""


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Map each layer's highest-ranked features over the test images."""
    if inputs.images is None:
        return Result(notes=("Skipped: the study has no images.",))
    test = images_to_map(inputs.samples)
    layers: list[MappedLayer] = []
    notes: list[str] = []
    for layer in inputs.chosen_layers(config.layers, "visual_patterns"):
        mapped = _map_layer(inputs, config, layer, test)
        if isinstance(mapped, str):
            notes.append(f"layer {layer}: {mapped}.")
        else:
            layers.append(mapped)
            notes += _unmatched(mapped)
    boxes = _boxes(inputs, test, layers)
    if not boxes:
        notes.append("No boxes among the samples' columns (…_box): maps are shown, not scored.")
    causal = _causal(inputs, config, layers)
    resampling = ImageResampling(inputs.units(test["image_id"].to_list()), config.bootstrap, inputs.seed)
    localisation = [localise(layer, boxes, resampling) for layer in layers]
    tested = correct_together(
        pl.concat([LOCALISATION.to_frame(), *localisation]), agreement_table(causal, inputs, config.bootstrap)
    )
    tables = {**tested, "causal": causal, "layers": _layers(layers)}
    if layers:
        tables["maps"] = pl.concat([top_maps(layer, test, config.top_images) for layer in layers])
    shown = {"localisation": "Maps against boxes", "agreement": "Maps against causal maps"}
    if config.clusters:
        told, grouped = _clusters(inputs, config, layers, resampling.units)
        tables, notes, shown = tables | grouped, [*notes, *told], shown | SHOWN_CLUSTERS
    found = inputs.beside_planted(findings(tables, inputs.concept.name, inputs.concept.box), "place", "pointing")
    return Result(metrics=_metrics(tables), tables=tables, shown=shown, notes=tuple(notes), estimates=found)


def _clusters(
    inputs: AnalysisInputs, config: Config, layers: list[MappedLayer], units: Int[np.ndarray, " N"]
) -> tuple[list[str], dict[str, pl.DataFrame]]:
    """Clusters of each layer's live features, and notes on what was left out."""
    notes, found = [], []
    for layer in layers:
        attributes = Attributes.read(inputs.samples, layer.grid.images)
        firing = Firing.read(layer.opened.index, layer.grid, config.clusters)
        clustered = cluster_layer(layer.opened.layer, firing, attributes, units, inputs.seed)
        if clustered is None:
            few = f"{len(firing.features)} features fire on {LEAST_IMAGES} test images or more"
            notes.append(f"layer {layer.opened.layer}: {few}, too few to be clustered.")
        else:
            found.append(clustered)
            notes += (
                [] if attributes.names else ["No attributes among the samples' columns: clusters are by where alone."]
            )
    return list(dict.fromkeys(notes)), cluster_tables(found)


def images_to_map(samples: pl.DataFrame) -> pl.DataFrame:
    """The test images, one row each, by name."""
    test = samples.filter((pl.col("split") == "test") & pl.col("image").is_not_null())
    return test.unique("image_id", keep="first", maintain_order=True).sort("image_id")


def _map_layer(inputs: AnalysisInputs, config: Config, layer: int, test: pl.DataFrame) -> MappedLayer | str:
    """The layer's features and grid, or why it cannot be mapped."""
    opened = inputs.open_layer(layer)
    ranking = opened.ranking
    features = tuple(ranking.strongest((IMAGE,))[: config.features])
    grid = find_grid(opened.table.tokens, test["image_id"].to_list())
    if grid is None:
        return "its image rows make no square grid"
    if not features:
        return "no feature passes the support filter on the selection split"
    matched = match_features(ranking, opened.profile, features)
    tests = ranked_tests(layer, ranking, (IMAGE,))
    return MappedLayer(opened, features, matched, grid, ranking.association(features, (IMAGE,)), tests)


def _unmatched(layer: MappedLayer) -> list[str]:
    if not layer.matched.unmatched:
        return []
    names = ", ".join(f"#{feature}" for feature in layer.matched.unmatched)
    return [
        f"layer {layer.opened.layer}: no match for {names}: too few features without an association with the concept "
        f"fire on as many image rows within a factor of {CALIPER:g}; the comparison leaves them out."
    ]


def _layers(layers: list[MappedLayer]) -> pl.DataFrame:
    chosen = [(layer.opened.layer, feature) for layer in layers for feature in layer.features]
    features = pl.DataFrame(chosen, {"layer": pl.UInt16, "feature": pl.UInt32}, orient="row")
    tested = with_q(features, [layer.tests for layer in layers]) if layers else features
    rows = [
        (
            layer.opened.layer,
            layer.association,
            len(layer.features),
            significant(tested.filter(layer=layer.opened.layer)),
            len(layer.matched.features),
        )
        for layer in layers
    ]
    return pl.DataFrame(rows, LAYERS, orient="row")


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
    found = causal_maps(loaded, replacements(inputs, loaded, chosen, config.random_swaps), by_layer)
    rows = [compare_maps(one, maps[one.layer, one.feature][place[one.image_id]]) for one in found]
    return pl.DataFrame(rows, schema=CAUSAL)


def _most_mapped(
    inputs: AnalysisInputs, count: int, maps: Mapping[tuple[int, int], Float[np.ndarray, "N P"]], place: dict[str, int]
) -> pl.DataFrame:
    """The images on which most features fire at all: where a feature is silent, there is no map to check."""
    rows = choose_samples(inputs, len(place)).rows.filter(pl.col("image_id").is_in(list(place)))
    firing = np.stack([found.any(axis=1) for found in maps.values()]).sum(axis=0)
    counted = rows.with_columns(pl.Series("_firing", [int(firing[place[image]]) for image in rows["image_id"]]))
    return counted.sort("_firing", "image_id", descending=[True, False]).head(count).drop("_firing").sort("image_id")


def _metrics(tables: Mapping[str, pl.DataFrame]) -> dict[str, float]:
    flat = {}
    for row in tables["localisation"].filter(pl.col("feature").is_null()).rows(named=True):
        for name in ("pointing", "above_control", "iou"):
            if math.isfinite(row[name]):
                flat[f"layer_{row['layer']}.{row['box']}.{name}"] = float(row[name])
    for row in tables["agreement"].rows(named=True):
        flat[f"layer_{row['layer']}.causal_agreement"] = float(row["spearman"])
    return flat
