"""How well a label is read off one layer: directions and linear probes, scored on images they have not seen.

Everything is fitted on the train split and scored on another; the unit is the image (its rows averaged). Where there
are more dimensions than images, estimators are computed on as many numbers as there are images; each equals the plain
one on all dimensions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import linalg
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from core.stats.intervals import auroc

STRENGTHS = (1e-3, 1e-2, 1e-1)
"""Inverse regularisation strengths among which inner cross-validation chooses."""
FOLDS = 3
GROUP_FOLDS = (4, 3, 2)
"""Folds of groups, the first number that leaves enough images of both sides in every fold."""
MIN_OUT = 5
"""Least images of either side in a fold of groups, and among the images that its probe is trained on."""
SPARSE_STRENGTH = 1.0
"""Inverse regularisation strength of sparse probes, whose few features need little."""
SPARSE_K = (1, 2, 5, 10, 20)
"""Features in a sparse probe."""

_NO_ROOM = 1e-12
"""Share of the largest variance below which a direction of the units' row space is rounding."""

Vector = Float[np.ndarray, " D"]
Score = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Labelled:
    """Images of one split: `x` [n, D], `y` [n] (true: the first side), `groups` [n] to hold out together, if any.

    `units` [n] are what each image belongs to (an image and its twin are one unit); null: each image is one.
    """

    x: Float[np.ndarray, "n D"]
    y: Bool[np.ndarray, " n"]
    groups: np.ndarray | None = None
    words: Int[np.ndarray, " n"] | None = None
    units: Int[np.ndarray, " n"] | None = None


@dataclass(frozen=True)
class Probe:
    """A direction with its threshold in the units of the stream: the first side where x·direction + bias > 0."""

    direction: Vector
    bias: float

    def score(self, x: Float[np.ndarray, "n D"]) -> Float[np.ndarray, " n"]:
        """Signed score of each unit."""
        return np.asarray(x @ self.direction + self.bias)

    def accuracy(self, units: Labelled) -> float:
        """Share of units on the right side."""
        return float(((self.score(units.x) > 0) == units.y).mean())


def difference_of_means(train: Labelled) -> Probe:
    """Mean of the first side minus mean of the other, cut half-way between them."""
    return _halfway(train, train.x[train.y].mean(axis=0) - train.x[~train.y].mean(axis=0))


def discriminant(train: Labelled) -> Probe:
    """Linear discriminant with Ledoit–Wolf shrinkage of each side's covariance (Ledoit & Wolf 2004).

    Equal to scikit-learn's LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto") on standardised dimensions.
    """
    scaled, scale = _standardised(train.x)
    sides = [scaled[train.y], scaled[~train.y]]
    parts = [_shrunk(side, len(side) / len(scaled)) for side in sides]
    diagonal = np.sum([part[0] for part in parts], axis=0)
    factor = np.concatenate([part[1] for part in parts])
    difference = sides[0].mean(axis=0) - sides[1].mean(axis=0)
    return _halfway(train, scale * _solve(diagonal, factor, difference))


def _shrunk(side: Float[np.ndarray, "n D"], share: float) -> tuple[Vector, Float[np.ndarray, "n D"]]:
    """A side's covariance, times its share of the images, as diag(first) + secondᵀ second.

    As in scikit-learn, dimensions are standardised within the side before they are shrunk toward one variance, and
    scaled back. The shrinkage needs ‖XᵀX‖ only, which is ‖XXᵀ‖.
    """
    scaler = StandardScaler().fit(side)
    x, spread = scaler.transform(side), scaler.scale_
    n, dims = x.shape
    gram = x @ x.T if n < dims else x.T @ x
    trace = np.square(x).sum() / n
    mean = trace / dims
    squares = np.square(gram).sum() / n**2
    noise = (np.square(np.square(x).sum(axis=1)).sum() / n - squares) / (dims * n)
    distance = (squares - 2 * mean * trace + dims * mean**2) / dims
    noise = min(noise, distance)
    shrinkage = noise / distance if noise != 0 else 0.0
    return share * shrinkage * mean * spread**2, math.sqrt(share * (1 - shrinkage) / n) * x * spread


def _solve(diagonal: Vector, factor: Float[np.ndarray, "n D"], wanted: Vector) -> Vector:
    """(diag(diagonal) + factorᵀ factor)⁻¹ wanted, in the smaller of D and n numbers (Woodbury's identity)."""
    n, dims = factor.shape
    if not diagonal.min() > 1e-10 * diagonal.max():
        return np.asarray(np.linalg.lstsq(np.diag(diagonal) + factor.T @ factor, wanted, rcond=None)[0])
    if n >= dims:
        return np.asarray(linalg.solve(np.diag(diagonal) + factor.T @ factor, wanted, assume_a="pos"))
    scaled = factor / diagonal
    inner = np.eye(n) + scaled @ factor.T
    return np.asarray(wanted / diagonal - scaled.T @ linalg.solve(inner, scaled @ wanted, assume_a="pos"))


def logistic(train: Labelled, seed: int) -> Probe:
    """Logistic regression on standardised dimensions, its strength chosen by inner cross-validation."""
    return logistic_at(train, choose_strength(train, seed))


def logistic_at(train: Labelled, strength: float, reduced: "Reduced | None" = None) -> Probe:
    """Logistic regression at one regularisation strength; `reduced` are its units by `reduce`, where they are known."""
    scaled, basis = reduce(train.x) if reduced is None else reduced
    with config_context(assume_finite=True, skip_parameter_validation=True):  # a third of the time of small fits
        fitted = LogisticRegression(C=strength, max_iter=1000).fit(scaled, train.y)
    direction = basis @ fitted.coef_[0]
    return Probe(direction, float(fitted.intercept_[0] - train.x.mean(axis=0) @ direction))


def choose_strength(train: Labelled, seed: int) -> float:
    """The strength with the best inner AUROC, twins in one fold; the stronger regularisation at a tie."""
    smallest = min(int(train.y.sum()), int((~train.y).sum()))
    if smallest < FOLDS:
        return STRENGTHS[0]
    folds = _inner_folds(train, seed)
    areas = [_inner(train, fold) for fold in folds]
    means = [float(np.mean(of_strength)) for of_strength in zip(*areas, strict=True)]
    return STRENGTHS[int(np.argmax(means))]


def _inner_folds(train: Labelled, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    if train.units is None or len(np.unique(train.units)) == len(train.units):
        return list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(train.x, train.y))
    together = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    return list(together.split(train.x, train.y, train.units))


def _inner(train: Labelled, fold: tuple[np.ndarray, np.ndarray]) -> list[float]:
    """The AUROC of each strength in one fold."""
    inside, outside = fold
    part, truth = Labelled(train.x[inside], train.y[inside]), train.y[outside].astype(np.int64)
    reduced = reduce(part.x)
    return [auroc(logistic_at(part, one, reduced).score(train.x[outside]), truth) for one in STRENGTHS]


def control_accuracy(train: Labelled, test: Labelled, strength: float, seed: int) -> float:
    """Held-out accuracy on random labels per word type (Hewitt & Liang 2019): what memorising words gives.

    A unit's word is the last token of its rows. NaN where all units have the same word, so nothing can be memorised.
    """
    if train.words is None or test.words is None:
        return math.nan
    first, second = word_labels(train.words, test.words, 2, seed)
    learned, unseen = first == 0, second == 0
    if learned.all() or not learned.any():
        return math.nan
    return logistic_at(Labelled(train.x, learned), strength).accuracy(Labelled(test.x, unseen))


def word_labels(
    train: Int[np.ndarray, " n"], test: Int[np.ndarray, " m"], classes: int, seed: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
    """A random class for each word type, the same one wherever the word stands."""
    types = np.unique(np.concatenate([train, test]))
    drawn = (np.random.default_rng(seed).random(types.size) * classes).astype(np.int64)
    return drawn[np.searchsorted(types, train)], drawn[np.searchsorted(types, test)]


def group_folds(train: Labelled, test: Labelled) -> list[tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " m"]]]:
    """Folds of groups (professions): the training units outside a fold's groups, and the test units in them.

    Four folds, or three or two where a fold would hold fewer than five test images of a side. None without groups, or
    where two folds would as well.
    """
    if train.groups is None or test.groups is None:
        return []
    names = np.unique(np.concatenate([train.groups, test.groups]))
    for folds in GROUP_FOLDS:
        parts = [(~np.isin(train.groups, out), np.isin(test.groups, out)) for out in _parts(names, folds)]
        if folds <= names.size and all(_enough(train.y[i]) and _enough(test.y[o]) for i, o in parts):
            return parts
    return []


def _parts(names: np.ndarray, folds: int) -> list[np.ndarray]:
    return [names[fold::folds] for fold in range(folds)]


def _enough(y: Bool[np.ndarray, " n"]) -> bool:
    return min(int(y.sum()), int((~y).sum())) >= MIN_OUT


def unseen_scores(
    train: Labelled, test: Labelled, strength: float, fold: tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " m"]]
) -> Float[np.ndarray, " o"]:
    """Scores of a fold's test units by a probe that was trained on the fold's training units."""
    inside, outside = fold
    return logistic_at(Labelled(train.x[inside], train.y[inside]), strength).score(test.x[outside])


def strongest_first(train: Labelled) -> Int[np.ndarray, " F"]:
    """The features by how far their standardised means differ in the training units, the furthest first."""
    spread = train.x.std(axis=0)
    gap = np.abs(train.x[train.y].mean(axis=0) - train.x[~train.y].mean(axis=0))
    strength = np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 0)
    return np.argsort(-strength, kind="stable")


def sparse_probe(train: Labelled, k: int, order: Int[np.ndarray, " m"] | None = None) -> tuple[list[int], Probe]:
    """Logistic regression on the `k` features whose standardised means differ most in the training units.

    Args:
        train: units whose `x` [n, F] are feature activations.
        k: features allowed (Gurnee et al. 2023, arXiv 2305.01610).
        order: the features by `strongest_first`, at least k of them, where they are known.

    Returns:
        The features, strongest first, and the probe over just these, in that order.
    """
    chosen = (strongest_first(train) if order is None else order)[:k]
    return chosen.tolist(), logistic_at(Labelled(train.x[:, chosen], train.y), SPARSE_STRENGTH)


def _halfway(train: Labelled, direction: Vector) -> Probe:
    cut = (train.x[train.y].mean(axis=0) + train.x[~train.y].mean(axis=0)) / 2
    return Probe(direction, -float(cut @ direction))


def _standardised(x: Float[np.ndarray, "n D"]) -> tuple[Float[np.ndarray, "n D"], Vector]:
    """Units with mean 0 and variance 1 in each dimension (0 where it is constant), and the scale that did it."""
    spread = x.std(axis=0)
    scale = np.divide(1, spread, out=np.zeros_like(spread, dtype=np.float64), where=spread > 1e-12)
    return (x - x.mean(axis=0)) * scale, scale


class Reduced(NamedTuple):
    """Units in R dimensions, and the map that takes a direction there back to the stream."""

    units: Float[np.ndarray, "n R"]
    basis: Float[np.ndarray, "D R"]


def reduce(x: Float[np.ndarray, "n D"]) -> Reduced:
    """Standardised units, rotated into their row space where D > n: exact for a penalty that rotations leave alone, and
    the same whatever the labels and the strength are.

    The row space is that of the units' products with each other, X Xᵀ [n, n]: a fifth of the time of a decomposition of
    X where D is thousands.
    """
    scaled, scale = _standardised(x)
    if scaled.shape[1] <= scaled.shape[0]:
        return Reduced(scaled, np.diag(scale))
    squares, left = linalg.eigh(scaled @ scaled.T)
    lengths = np.sqrt(np.where(squares > _NO_ROOM * squares[-1], squares, 0))
    inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return Reduced(left * lengths, scale[:, None] * (scaled.T @ (left * inverse)))
