"""Random sparse activations of labelled sentences, with features planted where a test asks for them."""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy import sparse

from core.concepts.beside import Beside
from core.concepts.full_sentences import SELECTION, Columns, FullSentences, side_by_side
from core.concepts.random_dictionary import random_codes

WORDS = ("a", "dog", "runs", "fast", "red", "blue", "him", "tree", "sea", "on", "the", "hill")
RISES, FALLS = 7, 9
"""Planted features of the second SAE."""


def random_dictionary(sentences: FullSentences, streams: Mapping[str, np.ndarray], seed: int) -> FullSentences:
    """The same sentences with a random dictionary in each SAE's place.

    Args:
        sentences: with the SAEs' activations, all of whose features are there.
        streams: what each SAE reads at the sentences' last tokens, by its key.
        seed: of the directions; those of each SAE are its own.
    """
    return sentences.with_features(*side_by_side(_dictionaries(sentences, streams, seed)))


def _dictionaries(
    sentences: FullSentences, streams: Mapping[str, np.ndarray], seed: int
) -> Iterator[tuple[str, sparse.csr_array]]:
    chosen = sentences.split == SELECTION
    for number, key in enumerate(sentences.columns.keys):
        active = sentences.active[:, np.flatnonzero(sentences.columns.owner == number)]
        counts = np.asarray((active != 0).sum(axis=1)).ravel()
        stream = np.asarray(streams[key], dtype=np.float32)
        own = np.random.SeedSequence((seed, number))
        yield key, random_codes(stream, stream[chosen].mean(axis=0), active.shape[1], counts, own)


def sparse_values(rng: np.random.Generator, rows: int, width: int, active: int) -> np.ndarray:
    """Few values, so that they tie; features of high numbers fire rarely or never."""
    found = np.zeros((rows, width), np.float32)
    places = (width * rng.random((rows, active)) ** 2).astype(int)
    np.put_along_axis(found, places, rng.integers(1, 6, (rows, active)).astype(np.float32), 1)
    return found


def labelled(values: np.ndarray, labels: np.ndarray, **given: np.ndarray) -> FullSentences:
    """One SAE; every sentence is a family of its own in the selection split unless it is given."""
    count = len(labels)
    parts = {
        "log_length": np.zeros(count),
        "families": np.arange(count),
        "split": np.repeat("selection", count),
        **given,
    }
    return FullSentences(sparse.csc_array(values), Columns.of(["sae"], np.array([0, values.shape[1]])), labels, **parts)


def scan(seed: int, planted: bool = False, size: int = 1, count: int = 160) -> tuple[FullSentences, Beside]:
    """Three SAEs of 300 features over `count` sentences in families of `size`, which share label and activations."""
    rng = np.random.default_rng(seed)
    families = np.repeat(np.arange(count // size), size)
    own = rng.permutation(np.arange(count // size) % 4)
    labels = own[families]
    parts = []
    for number in range(3):
        values = sparse_values(rng, count // size, 300, 15)[families]
        if planted and number == 1:
            values[:, RISES] = np.maximum(0, 2 * labels - 2 + rng.normal(size=count))
            values[:, FALLS] = np.maximum(0, 3 - labels + rng.normal(size=count))
        parts.append((f"sae {number}", sparse.csr_array(values)))
    held_out = np.zeros(count // size, bool)
    for label in range(4):
        members = rng.permutation(np.flatnonzero(own == label))
        held_out[members[: members.size // 2]] = True
    split = np.where(held_out, "held-out", "selection")[families]
    sentences = FullSentences(*side_by_side(parts), labels, np.log(rng.integers(5, 40, count)), families, split)
    stream = rng.normal(size=(count // size, 16))[families]
    if planted:
        stream[:, 0] += labels
    texts = np.array([" ".join(rng.choice(WORDS, 6)) for _ in range(count // size)])[families].tolist()
    random = random_dictionary(sentences, dict.fromkeys(sentences.columns.keys, stream), seed)
    return sentences, Beside(texts, {2: stream, 5: rng.normal(size=stream.shape)}, random)
