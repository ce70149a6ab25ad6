"""A layer opened out of the folders that its steps left."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from core.activations.table import LayerTable
from core.data.concept import Concept
from core.features.index import FeatureIndex
from core.features.layer_view import LayerView, Ranked
from core.features.profile import Profile
from core.features.ranking import Ranking
from core.features.row_groups import RowGrouper
from core.sae.formats import load_sae


@dataclass(frozen=True)
class LayerFolders:
    """Where a layer's shards, table, SAE, feature index and ranking lie; without a ranking it is computed."""

    shards: Sequence[Path]
    table: Path
    sae: Path
    index: Path
    ranked: Path | None = None


@dataclass(frozen=True)
class Studied:
    """What all layers of a study share: the samples that the model was run on, their languages, the concept."""

    samples: pl.DataFrame
    languages: tuple[str, ...]
    concept: Concept


def open_layer(layer: int, folders: LayerFolders, studied: Studied, group_rows: RowGrouper | None = None) -> LayerView:
    """The layer as the analyses see it; rows are grouped by `group_rows`, which layers can share.

    Raises:
        BadInput: a file is missing or does not fit the others.
    """
    concept, ranked = studied.concept, folders.ranked
    return LayerView(
        layer=layer,
        table=LayerTable.open(folders.shards, layer, keep=folders.table),
        sae=load_sae(folders.sae),
        index=FeatureIndex.open(folders.index),
        samples=studied.samples,
        languages=studied.languages,
        concept=concept,
        group_rows=group_rows or RowGrouper(studied.samples, concept),
        read_ranked=(lambda: _read_ranked(ranked, concept)) if ranked is not None else None,
    )


def _read_ranked(folder: Path, concept: Concept) -> Ranked:
    ranking = Ranking.load(folder, concept)
    return Ranked(ranking, Profile.load(folder, ranking.languages))
