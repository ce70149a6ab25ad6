"""The streams of the two languages over the same images: debiased linear CKA, and the concept's direction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from core.analysis.alignment.design import Design, Sides
from core.analysis.alignment.values import OverImages
from core.stats.similarity import centred_gram, u_centred


@dataclass(frozen=True)
class Geometry:
    """U-centred Gram matrices [N, N] of a layer's stream on the first and on the second captions."""

    first: Float[np.ndarray, "N N"]
    second: Float[np.ndarray, "N N"]

    @classmethod
    def of(cls, first: Float[np.ndarray, "N D"], second: Float[np.ndarray, "N D"]) -> "Geometry":
        """Of the streams, averaged over the captions of each image."""
        return cls(centred_gram(first), centred_gram(second))

    def cka(self, design: Design) -> OverImages:
        """CKA of the languages, with each unit left out, and with the second captions shuffled."""
        scale = _length(self.first) * _length(self.second)
        products = (float(np.vdot(self.first, self.second[np.ix_(order, order)])) for order in design.orders)
        left_out = [self._without(design.units != unit) for unit in np.unique(design.units)]
        shuffled = np.array([product / scale for product in products])
        return OverImages(_cka(self.first, self.second), np.array(left_out), shuffled, jackknife=True)

    def _without(self, kept: Bool[np.ndarray, " N"]) -> float:
        place = np.ix_(kept, kept)
        return _cka(u_centred(self.first[place]), u_centred(self.second[place]))


def _length(gram: Float[np.ndarray, "N N"]) -> float:
    return math.sqrt(float(np.vdot(gram, gram))) or math.nan


def _cka(first: Float[np.ndarray, "N N"], second: Float[np.ndarray, "N N"]) -> float:
    return float(np.vdot(first, second)) / (_length(first) * _length(second))


def direction(
    streams: tuple[Float[np.ndarray, "N D"], Float[np.ndarray, "N D"]], sides: Sides, design: Design
) -> OverImages:
    """Cosine of the languages' differences of means; with each unit left out, and with labels shuffled."""
    own = [stream[sides.rows].astype(np.float64) for stream in streams]
    labels, units = sides.positive.astype(np.float64), design.units[sides.rows]
    kept = (units[:, None] != np.unique(units)).astype(np.float64)
    found, left_out = _cosine(own, labels, np.ones_like(labels)), _cosine(own, labels[:, :1] * kept, kept)
    return OverImages(float(found[0]), left_out, found[1:], jackknife=True)


def _cosine(
    streams: Sequence[Float[np.ndarray, "m D"]],
    labels: Float[np.ndarray, "m draws"],
    kept: Float[np.ndarray, "m draws"],
) -> Float[np.ndarray, " draws"]:
    others = kept - labels
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = labels / labels.sum(axis=0) - others / others.sum(axis=0)
        first, second = (weights.T @ stream for stream in streams)
        lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        return np.asarray((first * second).sum(axis=1) / lengths)
