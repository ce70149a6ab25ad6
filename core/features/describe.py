"""What a study knows of all features of a layer beside their index: spread, tokens' rarity, promoted tokens."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from core.activations.table import LayerTable
from core.features.histograms import log_histograms
from core.features.influence import influences
from core.features.statistics import Occurrences
from core.features.token_idf import caption_idf
from core.lm.loaded import LoadedModel
from core.progress import Progress, silent
from core.sae.architectures import SparseAutoencoder


def describe_features(
    index: Path,
    table: LayerTable,
    head: tuple[SparseAutoencoder, LoadedModel] | None,
    out: Path,
    progress: Progress = silent,
) -> Mapping[str, float]:
    """Write `histograms.parquet`, `idf.parquet` and, where there is a head, `influences.parquet` into the folder `out`.

    Args:
        index: the folder of the layer's feature index.
        table: the layer's rows; special ones are left out.
        head: the layer's SAE, and the model whose vocabulary head reads what it writes; null where none does.
        out: a folder that is there.
        progress: told of features.

    Returns:
        How many features fire at all, and how many tokens the captions have.
    """
    counted = ~table.tokens["special"].to_numpy()
    histograms, idf = log_histograms(Occurrences.open(index), counted), caption_idf(table.tokens)
    _write(histograms, out / "histograms.parquet")
    _write(idf, out / "idf.parquet")
    if head is not None:
        _write(influences(*head, progress), out / "influences.parquet")
    return {"features_firing": float(histograms["max"].is_not_null().sum()), "tokens": float(idf.height)}


def _write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, compression="zstd", statistics=False)
