"""A dictionary of random directions, as large and as sparse as an SAE: what a scan finds without any training."""

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse


def random_codes(
    stream: Float[np.ndarray, "N D"],
    mean: Float[np.ndarray, " D"],
    width: int,
    counts: Int[np.ndarray, " N"],
    seed: int | np.random.SeedSequence,
) -> sparse.csr_array:
    """Activations [N, width] of random unit directions, in each row the largest positive ones alone.

    What a Gaussian direction has outside the span of the N rows moves none of them, only its norm, whose square there
    is χ² distributed. Directions are therefore drawn within the span (at most N numbers each instead of D).

    Args:
        stream: the rows that the SAE reads.
        mean: subtracted from each, as an SAE's bias does.
        width: directions, as many as the SAE has features.
        counts: how many fire on each row, as many as the SAE's.
        seed: of the directions.
    """
    rng = np.random.default_rng(seed)
    left, scale, _ = np.linalg.svd((stream - mean).astype(np.float32), full_matrices=False)
    inside = rng.standard_normal((scale.size, width), dtype=np.float32)
    outside = stream.shape[1] - scale.size
    squares = np.square(inside).sum(axis=0) + (rng.chisquare(outside, width) if outside else 0)
    found = (left * scale) @ (inside / np.sqrt(squares, dtype=np.float32))
    kept = [_largest(row, int(count)) for row, count in zip(found, counts, strict=True)]
    indptr = np.cumsum([0, *(len(row) for row in kept)])
    indices = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    values = found[np.repeat(np.arange(len(kept)), np.diff(indptr)), indices]
    return sparse.csr_array((values, indices, indptr), shape=found.shape)


def _largest(row: Float[np.ndarray, " F"], count: int) -> Int[np.ndarray, " k"]:
    count = min(count, row.size)
    chosen = np.argpartition(row, row.size - count)[row.size - count :] if count else np.zeros(0, np.int64)
    return np.sort(chosen[row[chosen] > 0])
