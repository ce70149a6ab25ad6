"""One matrix's spectrum, and those of random matrices of its shape."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from core.sae.architectures import SparseAutoencoder
from core.sae.circuits import between_features, decoder, encoder_decoder
from core.stats.factored import FactoredMatrix
from core.stats.permuted import rank_p

DECODER, THROUGH, BETWEEN, OV = "W_dec", "W_enc · W_dec", "W_dec · W_enc", "W_V · W_O"
MATRICES = (DECODER, THROUGH, BETWEEN, OV)
"""W_dec [F, D]: what features write. W_enc · W_dec [D, D]: stream to stream. W_dec · W_enc [F, F]: features to
features. W_V · W_O [D, D]: what a head reads and writes, the gain of the norm before the attention folded in."""
SHARES = (1, 5, 10)
"""Principal components whose summed share stands in the table."""


class Spectrum(NamedTuple):
    """A matrix's shape and rank; effective rank and entropy (nats) of its singular values; and the `shares` of its
    rows' variance that principal components hold, the largest first."""

    rows: int
    columns: int
    rank: int
    effective_rank: float
    entropy: float
    shares: Float[np.ndarray, " k"]

    @classmethod
    def of(cls, matrix: FactoredMatrix, components: int) -> "Spectrum":
        """The spectrum of one product, with that many components."""
        rows, columns = matrix.shape[-2:]
        entropy = float(matrix.entropy)
        shares = matrix.pca().share[:components].double().cpu().numpy()
        return cls(rows, columns, matrix.rank, math.exp(entropy), entropy, shares)

    def share(self, components: int) -> float:
        """What the first components explain together."""
        return float(self.shares[:components].sum())


def dictionary_matrices(sae: SparseAutoencoder) -> Iterator[tuple[str, FactoredMatrix]]:
    """An autoencoder's products; features to features only where it reads the stream that it writes."""
    yield DECODER, decoder(sae)
    yield THROUGH, encoder_decoder(sae)
    if sae.d_out == sae.d_model:
        yield BETWEEN, between_features(sae, sae)


@dataclass(frozen=True)
class Null:
    """Effective ranks of random matrices of one shape."""

    drawn: Float[np.ndarray, " draws"]

    @property
    def row(self) -> dict[str, float | int]:
        """Their mean and central 95 %."""
        low, high = np.quantile(self.drawn, [0.025, 0.975])
        ends = {"random_low": float(low), "random_high": float(high)}
        return {"random": float(self.drawn.mean()), **ends, "draws": self.drawn.size}

    def p(self, own: float) -> float:
        """Two-sided, of a value among the draws."""
        return rank_p(own, self.drawn)


class RandomSpectra:
    """Draws random matrices, once a shape."""

    def __init__(self, draws: int, seed: int) -> None:
        self._draws, self._seed = draws, seed
        self.dictionary = cache(self._dictionary)
        self.head = cache(self._head)

    def _dictionary(self, features: int, width: int) -> Mapping[str, Null]:
        """Of dictionaries as training starts: unit decoder rows in random directions, the encoder its transpose; then
        W_enc · W_dec and W_dec · W_enc have the decoder's singular values, squared."""
        found: dict[str, list[float]] = {DECODER: [], THROUGH: [], BETWEEN: []}
        for number in range(self._draws):
            rows = torch.nn.functional.normalize(self._normal(number, features, width), dim=1)
            values = torch.linalg.svdvals(rows)
            found[DECODER].append(effective_rank(values))
            found[THROUGH].append(effective_rank(values.square()))
        found[BETWEEN] = found[THROUGH]
        return {name: Null(np.array(drawn)) for name, drawn in found.items()}

    def _head(self, width: int, inner: int) -> Null:
        """Of heads with independent normal weights."""
        pairs = (
            (self._normal(2 * number, width, inner), self._normal(2 * number + 1, inner, width))
            for number in range(self._draws)
        )
        return Null(np.array([effective_rank(FactoredMatrix(left, right).S) for left, right in pairs]))

    def _normal(self, number: int, *shape: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + number)
        return torch.randn(shape, generator=generator)


def effective_rank(values: torch.Tensor) -> float:
    """e^H of some singular values."""
    return float(torch.special.entr(values / values.sum()).sum().exp())
