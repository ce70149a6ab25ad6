"""What is computed once of a store that was made elsewhere, and written beside its columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import BadInput
from core.features.activation_store import ActivationStore
from core.features.histograms import log_histograms
from core.features.influence import influences
from core.features.neighbours import coactivation, decoder_neighbours
from core.features.statistics import Occurrences, RowKinds, feature_statistics
from core.features.token_idf import row_idf
from core.lm.loaded import LoadedModel
from core.progress import Progress, silent
from core.sae.architectures import SparseAutoencoder
from core.study.model import IndexConfig


@dataclass(frozen=True)
class Weights:
    """The SAE of a store, and the model that it reads, as far as they are at hand."""

    sae: SparseAutoencoder | None = None
    loaded: LoadedModel | None = None


def precompute(
    store: ActivationStore,
    weights: Weights,
    config: IndexConfig,
    again: bool = False,
    progress: Progress = silent,
) -> dict[str, str]:
    """Write the tables of a store beside its columns; a table that is there stays, unless `again`.

    Each row is a sample of its own; no row is special. `features.parquet`, `histograms.parquet`, `coactivation.parquet`
    come from the columns, `idf.parquet` from the rows' tokens, `neighbours.parquet` from the SAE, `influences.parquet`
    from SAE and model.

    Returns:
        What became of each table, by its name.

    Raises:
        BadInput: the store is read in another layout than columns, or is a study's artefact; or SAE, model and store do
            not fit each other.
        OSError: the disk is full.
    """
    rows = _refuse_unfit(store, weights)
    kinds = _plain_kinds(rows)
    occurrences = Occurrences.open(store.place)
    made: Mapping[str, Callable[[], pl.DataFrame | str]] = {
        "features.parquet": lambda: feature_statistics(occurrences, kinds, config.top_rows),
        "histograms.parquet": lambda: log_histograms(occurrences, kinds.counted),
        "coactivation.parquet": lambda: coactivation(occurrences, kinds, config.neighbours),
        "idf.parquet": lambda: _idf(store),
        "neighbours.parquet": lambda: _neighbours(weights, config),
        "influences.parquet": lambda: _influences(weights),
    }
    told: dict[str, str] = {}
    for done, (name, make) in enumerate(made.items()):
        progress(done, len(made))
        told[name] = _make(store.place / name, make, again)
    progress(len(made), len(made))
    return told


def _refuse_unfit(store: ActivationStore, weights: Weights) -> int:
    """Rows of the store."""
    place, sae, loaded = store.place, weights.sae, weights.loaded
    if store.backend != "csc":
        raise BadInput(
            f"{store.layout}: statistics are computed of columns; saeflow store convert {place} NEW --to csc"
        )
    if (place / "manifest.json").is_file():
        raise BadInput(f"{place}: is an artefact of a study, which has its own tables; convert a copy of it")
    if store.num_rows is None:
        raise BadInput(f"{place}: does not say how many rows there are; saeflow store convert {place} NEW --to csc")
    if sae is not None and sae.num_features != store.num_features:
        raise BadInput(f"--sae: has {sae.num_features:,} features, and {store.layout} has {store.num_features:,}")
    if sae is not None and loaded is not None and loaded.unembedding.shape[1] != sae.W_dec.shape[1]:
        raise BadInput(f"--model: reads {loaded.unembedding.shape[1]} numbers, and --sae writes {sae.W_dec.shape[1]}")
    return store.num_rows


def _plain_kinds(rows: int) -> RowKinds:
    """Rows of which nothing is known: each counts, and is a sample of its own."""
    own, nothing = np.arange(rows), np.full(rows, -1)
    return RowKinds(np.ones(rows, bool), own, own, np.zeros(rows, np.int64), nothing, nothing, pl.DataFrame(), rows)


def _make(path: Path, make: Callable[[], pl.DataFrame | str], again: bool) -> str:
    if path.is_file() and not again:
        return "is there already"
    made = make()
    if isinstance(made, str):
        return made
    part = path.with_name(f".{path.name}.part")
    made.write_parquet(part, statistics=False)
    part.replace(path)
    return f"{made.height:,} rows"


def _idf(store: ActivationStore) -> pl.DataFrame | str:
    found = None if store.rows is None else row_idf(store.rows)
    return "left out: nothing says which tokens the rows hold" if found is None else found


def _neighbours(weights: Weights, config: IndexConfig) -> pl.DataFrame | str:
    return "left out: needs --sae" if weights.sae is None else decoder_neighbours(weights.sae, config.neighbours)


def _influences(weights: Weights) -> pl.DataFrame | str:
    if weights.sae is None or weights.loaded is None:
        return "left out: needs --sae and --model"
    return influences(weights.sae, weights.loaded)
