"""A layer as the analyses see it, opened out of a unit's inputs."""

import polars as pl

from core.data.known_concepts import THE_CONCEPT
from core.data.samples import analysed, capture_drops, read_samples
from core.features.layer_view import LayerView
from core.features.opened_layer import LayerFolders, Studied, open_layer
from core.features.row_groups import RowGrouper
from tasks.context import Work


def analysed_samples(work: Work) -> pl.DataFrame:
    """The samples that the model was run on."""
    return analysed(read_samples(work.input("samples")), capture_drops(work.inputs("shards")))


def open_view(
    work: Work, layer: int, grouper: RowGrouper | None = None, samples: pl.DataFrame | None = None
) -> LayerView:
    """The layer, as far as the unit's inputs hold it; `grouper` and `samples` are shared between layers."""
    samples = analysed_samples(work) if samples is None else samples
    layers = [int(one) for one in work.recipe.get("layers", [layer])]
    place = layers.index(layer)
    roles = ("layer", "sae", "index", *(["ranked"] if "ranked" in work.unit.inputs else []))
    folders = LayerFolders(work.inputs("shards"), *(work.inputs(role)[place] for role in roles))
    return open_layer(layer, folders, Studied(samples, work.context.languages, THE_CONCEPT), grouper)
