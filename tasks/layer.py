"""A layer as the analyses see it, opened out of a unit's inputs."""

import polars as pl

from core.data.known_concepts import concept_of
from core.data.samples import analysed, capture_drops, read_samples
from core.features.layer_view import LayerView
from core.features.opened_layer import LayerFolders, Studied, open_layer
from core.features.row_groups import RowGrouper
from core.sae.architectures import SparseAutoencoder
from core.sae.formats import load_sae
from core.store.artifacts import read_json
from tasks.choose import CHOICE
from tasks.context import Work

_SAE, _FROZEN = ("sae", "index"), ("frozen_sae", "frozen_index")


def analysed_samples(work: Work) -> pl.DataFrame:
    """The samples that the model was run on."""
    return analysed(read_samples(work.input("samples")), capture_drops(work.inputs("shards")))


def studied(work: Work) -> Studied:
    """What the unit's layers share: those samples with the labels of its concept, their languages, the concept.

    Raises:
        BadInput: the concept does not fit the samples.
    """
    samples = analysed_samples(work)
    concept = concept_of(work.recipe.get("concept"), samples)
    return Studied(concept.labelled(samples), work.context.languages, concept)


def open_sibling(work: Work, layer: int) -> SparseAutoencoder:
    """The SAE of the layer that was trained as its own one was, from another seed."""
    place = [int(one) for one in work.recipe["layers"]].index(layer)
    alike: dict[str, str] = work.recipe["siblings"]
    chosen = read_json(work.inputs("sae")[place] / CHOICE)["variant"]
    return load_sae(work.inputs("seeds")[place * len(alike) + list(alike).index(alike[chosen])])


def open_view(
    work: Work, layer: int, shared: Studied | None = None, grouper: RowGrouper | None = None, frozen: bool = False
) -> LayerView:
    """The layer, as far as the unit's inputs hold it; `shared` and `grouper` are the same for all layers.

    With `frozen` its SAE and index are those of its frozen dictionary, whose ranking is computed when it is asked for.
    """
    layers = [int(one) for one in work.recipe.get("layers", [layer])]
    place = layers.index(layer)
    ranked = () if frozen or "ranked" not in work.unit.inputs else ("ranked",)
    roles = ("layer", *(_FROZEN if frozen else _SAE), *ranked)
    folders = LayerFolders(work.inputs("shards"), *(work.inputs(role)[place] for role in roles))
    return open_layer(layer, folders, shared or studied(work), grouper)
