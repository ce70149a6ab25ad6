"""A folder that an older pipeline left, read into the tables of today."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from core.explain.features_table import features_table
from core.explain.importing.explanations import read_explanations
from core.explain.importing.layout import find_layout
from core.explain.importing.older_tables import older_table
from core.explain.importing.scores import METRICS, read_scores
from core.explain.importing.similarities import read_similarities
from core.explain.table_file import Card
from core.explain.tables import EXPLANATION_EMBEDDINGS, EXPLANATIONS


@dataclass(frozen=True)
class Imported:
    """What a folder held.

    Attributes:
        tables: published tables by name, to be written by `core.explain.published`.
        explanations: with the columns of `EXPLANATIONS`, to be embedded or scored.
        notes: what is to be said of it, a line each.
        cards: by what tables of vectors were embedded, where their files say it.
    """

    tables: Mapping[str, pl.DataFrame]
    explanations: pl.DataFrame
    notes: tuple[str, ...]
    cards: Mapping[str, Card] = field(default_factory=dict)


def read_older(folder: Path, models: Mapping[str, str] | None = None, sae_id: str | None = None) -> Imported:
    """Read an older pipeline's folder.

    Text files and scores make the main table where there are explanations; else its Parquet table is taken. Other
    Parquet tables are taken as they are, cast to the declared columns.

    Args:
        folder: that holds one or more of the layouts of docs/catalogue.md.
        models: full model names by the parts of sources' names, as in `{"llama_e": "meta-llama/Llama-3.1-70B"}`.
        sae_id: what the SAE is called in all tables; null takes what the files say.

    Raises:
        BadInput: the folder holds no such layout, or a file of it is damaged.
    """
    layout, given = find_layout(folder), models or {}
    explanations = read_explanations(layout.sources, given, sae_id)
    scores = read_scores(layout.sources, layout.summaries, given, sae_id)
    found = [(path, older_table(path)) for path in layout.tables]
    known = [one for _, one in found if one is not None]
    tables = {one.name: _renamed(one.rows, sae_id) for one in known}
    notes = [f"{path.name}: is none of the published tables, and is left out" for path, one in found if one is None]
    if explanations.height:
        neighbours = _of_one_sae(read_similarities(layout.similarities, sae_id), explanations)
        older = tables.get("explanation_embeddings", EXPLANATION_EMBEDDINGS.to_frame())
        embeddings = _of_one_sae(older, explanations)
        kinds = {kind: kind for kind in METRICS}
        tables["features"] = features_table(explanations, scores, kinds, neighbours, embeddings)
        notes += _unmatched(explanations, scores)
    if scores.height:
        tables["scores"] = scores
    cards = {one.name: one.card for one in known if one.card.embedder}
    return Imported(tables, explanations.cast(EXPLANATIONS), tuple(notes), cards)


def _renamed(frame: pl.DataFrame, sae_id: str | None) -> pl.DataFrame:
    return frame if sae_id is None else frame.with_columns(pl.lit(sae_id, frame.schema["sae_id"]).alias("sae_id"))


def _of_one_sae(frame: pl.DataFrame, explanations: pl.DataFrame) -> pl.DataFrame:
    """Older files name one SAE in several ways: where both tables are of one, it is the explanations'."""
    named = explanations["sae_id"].cast(pl.String).unique().to_list()
    return _renamed(frame, named[0] if len(named) == 1 and frame["sae_id"].n_unique() == 1 else None)


def _unmatched(explanations: pl.DataFrame, scores: pl.DataFrame) -> list[str]:
    """Sources whose scores belong to no explanation."""
    key = ["feature_id", pl.col("sae_id").cast(pl.String), pl.col("explainer").cast(pl.String)]
    lost = scores.select(key).join(explanations.select(key), on=["feature_id", "sae_id", "explainer"], how="anti")
    counts = lost.group_by("explainer", maintain_order=True).len()
    return [f"{name}: {count:,} scores belong to no explanation" for name, count in counts.iter_rows()]
