"""A layer as the analyses see it, opened out of a unit's inputs."""

from pathlib import Path

import polars as pl

from core.data.concepts import THE_CONCEPT
from core.data.samples import analysed, capture_drops, read_samples
from core.features.index import FeatureIndex
from core.features.layer_view import LayerView, Ranked
from core.features.profile import Profile
from core.features.ranking import Ranking
from core.features.row_groups import RowGrouper
from core.sae.formats import load_sae
from tasks.capture import open_table
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
    ranked = work.inputs("ranked")[place] if "ranked" in work.unit.inputs else None
    return LayerView(
        layer=layer,
        table=open_table(work, work.inputs("layer")[place], layer),
        sae=load_sae(work.inputs("sae")[place]),
        index=FeatureIndex.open(work.inputs("index")[place]),
        samples=samples,
        languages=work.context.languages,
        concept=THE_CONCEPT,
        group_rows=grouper or RowGrouper(samples, THE_CONCEPT),
        read_ranked=(lambda: _read_ranked(ranked)) if ranked is not None else None,
    )


def _read_ranked(folder: Path) -> Ranked:
    ranking = Ranking.load(folder, THE_CONCEPT)
    return Ranked(ranking, Profile.load(folder, ranking.languages))
