"""Which features resemble each other: by the direction they write, and by the rows they fire in."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from scipy import sparse

from core.features.statistics import Occurrences, RowKinds
from core.sae.architectures import SparseAutoencoder

NEIGHBOURS = pl.Schema({"feature": pl.UInt32, "rank": pl.UInt32, "neighbour": pl.UInt32, "cosine": pl.Float32})
"""Decoder neighbours of each feature, rank 1 the nearest."""
COACTIVATION = pl.Schema(
    {
        "feature": pl.UInt32,
        "rank": pl.UInt32,
        "partner": pl.UInt32,
        "both": pl.UInt32,
        "jaccard": pl.Float64,
        "pmi": pl.Float64,
    }
)
"""Partners of each feature by Jaccard index: `both` rows with both active, pmi = ln(both · T / (n_f · n_g))."""

MAX_ROWS = 1 << 17
"""Rows, evenly spread, that co-activation is counted on at most."""
_BLOCK_ELEMENTS = 2**24


@torch.no_grad()
def decoder_neighbours(sae: SparseAutoencoder, n: int) -> pl.DataFrame:
    """The `n` features of highest decoder cosine to each feature, in blocks that never hold F × F."""
    directions = torch.nn.functional.normalize(sae.W_dec, dim=1)
    n = min(n, sae.num_features - 1)
    parts = []
    for start in range(0, sae.num_features, max(1, _BLOCK_ELEMENTS // sae.num_features)):
        cosine = directions[start : start + max(1, _BLOCK_ELEMENTS // sae.num_features)] @ directions.T
        own = torch.arange(start, start + len(cosine), device=cosine.device)
        cosine.scatter_(1, own.unsqueeze(1), -torch.inf)
        values, indices = cosine.topk(n, dim=1)
        parts.append(_long(own.cpu().numpy(), indices.cpu().numpy(), values.cpu().numpy()))
    return pl.concat(parts)


def _long(
    features: Int[np.ndarray, " f"], neighbours: Int[np.ndarray, "f n"], cosines: Float[np.ndarray, "f n"]
) -> pl.DataFrame:
    count, n = neighbours.shape
    columns = {
        "feature": np.repeat(features, n),
        "rank": np.tile(np.arange(1, n + 1), count),
        "neighbour": neighbours.ravel(),
        "cosine": cosines.ravel().clip(-1, 1),
    }
    return pl.DataFrame(columns, schema_overrides={"cosine": pl.Float32}).cast(NEIGHBOURS)


def coactivation(occurrences: Occurrences, kinds: RowKinds, n: int) -> pl.DataFrame:
    """The `n` features that share most of each feature's rows, special rows left out.

    Counted on at most `MAX_ROWS` rows evenly spread over the table, a block of features at a time.
    """
    chosen = np.flatnonzero(kinds.counted)
    chosen = chosen[:: max(1, -(-len(chosen) // MAX_ROWS))]
    active = _binary(occurrences, chosen, len(kinds.counted))
    counts = np.asarray(active.sum(axis=0)).ravel()
    by_row = active.tocsr()
    found = [_partners(*pair, counts, n) for pair in _pairs(active, by_row)]
    feature, rank, partner, both = (np.concatenate(column) for column in zip(*found))
    union = counts[feature] + counts[partner] - both
    expected = counts[feature].astype(np.float64) * counts[partner] / max(1, len(chosen))
    columns = {"feature": feature, "rank": rank, "partner": partner, "both": both, "jaccard": both / union}
    return pl.DataFrame({**columns, "pmi": np.log(both / expected)}).cast(COACTIVATION)


def _binary(occurrences: Occurrences, chosen: Int[np.ndarray, " t"], num_rows: int) -> sparse.csc_array:
    """[t, F] ones where a feature is active in a chosen row, read a chunk of features at a time."""
    place = np.full(num_rows, -1, np.int64)
    place[chosen] = np.arange(len(chosen))
    rows: list[Any] = []
    counts: list[Any] = []
    for chunk in occurrences.chunks():
        kept = chunk.where(place[chunk.rows] >= 0)
        rows.append(place[kept.rows].astype(np.int32))
        counts.append(kept.count())
    indices = np.concatenate(rows) if rows else np.empty(0, np.int32)
    indptr = np.concatenate([[0], np.concatenate(counts).cumsum()]) if counts else np.zeros(1)
    parts = (np.ones(len(indices), np.int32), indices, indptr.astype(np.int32))
    return sparse.csc_array(parts, shape=(len(chosen), occurrences.num_features))


def _pairs(
    active: sparse.csc_array, by_row: sparse.csr_array
) -> Iterator[tuple[int, Int[np.ndarray, " p"], Int[np.ndarray, " p"]]]:
    """Each feature, the features active beside it, and in how many rows."""
    num_features = active.shape[1]
    block = max(1, _BLOCK_ELEMENTS // max(1, num_features))
    for start in range(0, num_features, block):
        both = (active[:, start : start + block].T @ by_row).tocsr()
        both.sort_indices()
        for row in range(both.shape[0]):
            span = slice(both.indptr[row], both.indptr[row + 1])
            yield start + row, both.indices[span], both.data[span]


def _partners(
    feature: int, partners: Int[np.ndarray, " p"], both: Int[np.ndarray, " p"], counts: Int[np.ndarray, " F"], n: int
) -> tuple[Int[np.ndarray, " n"], ...]:
    """Feature, rank, partner and common rows of the `n` partners of highest Jaccard index, ties to the lower one."""
    other = partners != feature
    partners, both = partners[other].astype(np.int64), both[other].astype(np.int64)
    order = np.lexsort((partners, -both / (counts[feature] + counts[partners] - both)))[:n]
    return np.full(len(order), feature), np.arange(1, len(order) + 1), partners[order], both[order]
