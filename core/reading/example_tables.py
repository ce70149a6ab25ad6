"""The SAEs of a table of examples made elsewhere, with the features that a catalogue takes of each."""

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from core.errors import BadInput
from core.explain.chosen import CatalogueSAE, ExampleTable
from core.explain.example_tables import FILE, features_in
from core.explain.named import FROZEN
from core.store.hashes import HashMemo
from core.study.catalogue import CatalogueConfig, ChosenFeatures

_LAYER = re.compile(r"(?:layers?|blocks?|h)[._](\d+)")
"""`layer_30`, `layers.30`, `blocks.30.hook_resid_post`, `transformer.h.30`."""


def table_saes(config: CatalogueConfig, place: Path, memo: HashMemo) -> tuple[CatalogueSAE, ...]:
    """The table's SAEs of the catalogue's layers, in the order of their names.

    Args:
        config: the catalogue.
        place: the table, or the folder that holds it.
        memo: of hashes.

    Raises:
        BadInput: the table cannot be read, features are to be chosen by what it does not say, or one that is named is
            not in it.
    """
    file = place / FILE if place.is_dir() else place
    if not file.is_file():
        raise BadInput(f"examples_table: {file} is not there; name a folder that holds {FILE}, or the file")
    if config.features.by == "concept" and config.features.only is None:
        raise BadInput(
            "features.by: a table of examples ranks nothing by a concept; take frequency or all, or name some"
        )
    table = ExampleTable(file, memo.sha256_all([file]))
    memo.save()
    found = tuple(
        CatalogueSAE(sae_id, layer, features, {}, False, table)
        for sae_id, layer, own in _of_layers(config, features_in(file))
        if (features := _chosen(config.features, sae_id, layer, own))
    )
    if not found:
        raise BadInput(f"features: none of {file.name} is chosen; its SAEs are {_names(features_in(file))}")
    return found


def _of_layers(config: CatalogueConfig, known: pl.DataFrame) -> Iterator[tuple[str, int | None, pl.DataFrame]]:
    for (sae_id,), own in known.group_by("sae_id", maintain_order=True):
        named = _LAYER.search(str(sae_id).removesuffix(FROZEN))
        layer = int(named[1]) if named else None
        if config.layers == "all" or layer in config.layers:
            yield str(sae_id), layer, own


def _chosen(wanted: ChosenFeatures, sae_id: str, layer: int | None, own: pl.DataFrame) -> tuple[int, ...]:
    """The features of one SAE, ascending."""
    if wanted.only is not None:
        named = () if layer is None else wanted.only.get(layer, ())
        if missing := sorted(set(named) - set(own["feature_id"])):
            raise BadInput(f"features.only: feature {missing[0]} of {sae_id} is not in the table of examples")
        return tuple(sorted(set(named)))
    firing = own.filter(pl.col("rows") > 0)
    if wanted.by == "frequency":
        firing = firing.sort("rows", "feature_id", descending=[True, False]).head(wanted.per_layer)
    return tuple(sorted(firing["feature_id"]))


def _names(known: pl.DataFrame) -> str:
    names = known["sae_id"].unique(maintain_order=True).to_list()
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
