"""Vectors of texts kept in memory: prompts come again in every layer, and explainers say the same of many features."""

import threading
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from core.explain.embedder import Embedder
from core.progress import Progress, silent

_MOST_BYTES = 1 << 28
Vector = Float[np.ndarray, " d"]


class VectorMemory:
    """The vectors of the latest texts, at most so many bytes of them; threads may share one."""

    def __init__(self, most: int = _MOST_BYTES) -> None:
        self._most, self._held = most, 0
        self._kept: dict[str, Vector] = {}
        self._lock = threading.Lock()

    def find(self, texts: Iterable[str]) -> dict[str, Vector]:
        """Those that are kept."""
        with self._lock:
            return {text: self._kept[text] for text in texts if text in self._kept}

    def keep(self, vectors: Mapping[str, Vector]) -> None:
        """Keep these; the oldest go where they are too many."""
        with self._lock:
            for text, vector in vectors.items():
                if text not in self._kept:
                    self._kept[text] = vector
                    self._held += _bytes(text, vector)
            while self._held > self._most:
                oldest = next(iter(self._kept))
                self._held -= _bytes(oldest, self._kept.pop(oldest))


class Remembering:
    """An embedder that embeds no text whose vector is kept.

    A vector depends on the texts that it is embedded beside by about 1e-7, so on what came first.
    """

    def __init__(self, embedder: Embedder, memory: VectorMemory) -> None:
        self.name, self.revision, self.dimension = embedder.name, embedder.revision, embedder.dimension
        self._embedder, self._memory = embedder, memory

    def embed(self, texts: Sequence[str], progress: Progress = silent) -> Float[np.ndarray, "n d"]:
        """A vector of unit length per text, in their order."""
        known = self._memory.find(dict.fromkeys(texts))
        if missing := [text for text in dict.fromkeys(texts) if text not in known]:
            fresh = dict(zip(missing, self._embedder.embed(missing, progress), strict=True))
            self._memory.keep({text: vector.copy() for text, vector in fresh.items()})
            known |= fresh
        return np.array([known[text] for text in texts], np.float32).reshape(len(texts), self.dimension)


def _bytes(text: str, vector: Vector) -> int:
    return vector.nbytes + 4 * len(text)
