"""Sentence embeddings."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float

from core.progress import Progress, silent


class Embedder(Protocol):
    """A sentence embedder."""

    name: str
    revision: str
    dimension: int

    def embed(self, texts: Sequence[str], progress: Progress = silent) -> Float[np.ndarray, "n d"]:
        """One vector of unit length per text."""
