"""A dictionary of random directions, as large and as sparse as an SAE: what a scan finds without any training."""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from core.concepts.full_sentences import SELECTION, FullSentences, side_by_side


def random_dictionary(
    sentences: FullSentences, streams: Mapping[str, Float[np.ndarray, "N D"]], seed: int
) -> FullSentences:
    """The same sentences with a random dictionary in each SAE's place.

    Args:
        sentences: with the SAEs' activations, all of whose features are there.
        streams: what each SAE reads at the sentences' last tokens, by its key.
        seed: of the directions; those of each SAE are its own.
    """
    return sentences.with_features(*side_by_side(_dictionaries(sentences, streams, seed)))


def _dictionaries(
    sentences: FullSentences, streams: Mapping[str, Float[np.ndarray, "N D"]], seed: int
) -> Iterator[tuple[str, sparse.csr_array]]:
    chosen = sentences.split == SELECTION
    for number, key in enumerate(sentences.columns.keys):
        active = sentences.active[:, np.flatnonzero(sentences.columns.owner == number)]
        counts = np.asarray((active != 0).sum(axis=1)).ravel()
        stream = np.asarray(streams[key], dtype=np.float32)
        own = np.random.SeedSequence((seed, number))
        yield key, random_codes(stream, stream[chosen].mean(axis=0), active.shape[1], counts, own)


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
        mean: subtracted from each, as an SAE's bias does: that of the selection split.
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
