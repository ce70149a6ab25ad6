"""The best features of a scan as vectors to add to the stream, each beside features that fire as often."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.concepts.output_score import Promoted
from core.concepts.scanned import ScannedSAE
from core.features.columns import map_array
from core.features.influence import PROMOTED, promoted_tokens
from core.lm.loaded import LoadedModel
from core.sae.architectures import SparseAutoencoder
from core.stats.rate_matching import match_rates
from core.study.concept_scan import OutputConfig
from core.study.sites import STREAM

QUANTILE = 0.995
"""Of a feature's activations over the fragments that it fires on: the strength at which it is promoted."""
MOST_TOKENS = 10


def promoted_features(
    top: pl.DataFrame,
    scanned: Sequence[Path],
    load: Callable[[str], SparseAutoencoder],
    config: OutputConfig,
) -> list[Promoted]:
    """The best features of the ranking's table `top` whose SAE reads the residual stream.

    Controls are features of the same SAE that are not in `top` and fire on as many fragments; each is as long as the
    feature's own vector.

    Args:
        top: rows of `top_features.parquet`, the best first.
        scanned: the folders of the scanned SAEs.
        load: opens an SAE by its key.
        config: how many features and controls.
    """
    opened = {one.card.key: one for one in map(ScannedSAE.open, scanned)}
    usable = [row for row in top.iter_rows(named=True) if opened[row["sae"]].card.site == STREAM]
    chosen = usable[: config.features]
    by_sae: Mapping[str, list[dict[str, object]]] = {
        key: [row for row in chosen if row["sae"] == key] for key in dict.fromkeys(row["sae"] for row in chosen)
    }
    found: dict[tuple[str, int], Promoted] = {}
    for key, rows in by_sae.items():
        known = top.filter(pl.col("sae") == key)["feature"].to_numpy()
        for one in _of_sae(opened[key], load(key), rows, known, config):
            found[key, one.feature] = one
    return [found[row["sae"], int(row["feature"])] for row in chosen]


def _of_sae(
    scanned: ScannedSAE,
    sae: SparseAutoencoder,
    rows: Sequence[Mapping[str, object]],
    known: Int[np.ndarray, " n"],
    config: OutputConfig,
) -> list[Promoted]:
    decoder = sae.W_dec.detach().float().cpu()
    starts = map_array(scanned.folder / "csc_indptr.npy")
    rates = np.diff(starts.astype(np.int64)) / max(scanned.card.fragments, 1)
    pool = np.ones(scanned.card.features, dtype=bool)
    pool[known] = False
    random = np.random.default_rng(config.seed)
    found = []
    for row in rows:
        feature, sign = int(str(row["feature"])), 1 if float(str(row["spearman"])) >= 0 else -1
        values = np.asarray(scanned.activations(feature)[1], dtype=np.float64)
        vector = sign * float(np.quantile(values, QUANTILE)) * decoder[feature]
        near = match_rates([feature], rates, pool).sets(config.controls, random)
        controls = _as_long(decoder[near[:, 0]] if near.size else decoder[:0], vector)
        found.append(Promoted(scanned.card.key, feature, scanned.card.layer, sign, vector, controls))
    return found


def _as_long(vectors: Float[Tensor, "K D"], own: Float[Tensor, " D"]) -> Float[Tensor, "K D"]:
    scaled: Tensor = torch.nn.functional.normalize(vectors, dim=-1) * own.norm()
    return scaled


TOKENS = pl.Schema([("sae", pl.String()), *PROMOTED.items()])
"""Tokens that features promote and suppress by their direct path, as `core.features.influence.PROMOTED`."""


def tokens_of(top: pl.DataFrame, load: Callable[[str], SparseAutoencoder], loaded: LoadedModel) -> pl.DataFrame:
    """Rows of `TOKENS` for the features of `top` whose SAE writes into the stream that the vocabulary head reads."""
    width, parts = loaded.unembedding.shape[1], []
    for key in dict.fromkeys(top["sae"].to_list()):
        sae = load(key)
        if sae.W_dec.shape[1] == width:
            features = top.filter(pl.col("sae") == key)["feature"].to_list()
            parts.append(promoted_tokens(sae, loaded, features, MOST_TOKENS).with_columns(pl.lit(key).alias("sae")))
    return pl.concat([TOKENS.to_frame(), *(part.select(TOKENS.names()) for part in parts)])
