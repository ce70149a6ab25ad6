"""How well a label is read off one layer: directions and linear probes, scored on images they have not seen.

Everything is fitted on the train split and scored on another; the unit is the image (its rows averaged).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn import config_context
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from core.stats.intervals import auroc

STRENGTHS = (1e-3, 1e-2, 1e-1)
"""Inverse regularisation strengths among which inner cross-validation chooses."""
FOLDS = 3
SHUFFLES = 5
SPARSE_STRENGTH = 1.0
"""Inverse regularisation strength of sparse probes, whose few features need little."""
SPARSE_K = (1, 2, 5, 10, 20)
"""Features in a sparse probe."""

Vector = Float[np.ndarray, " D"]
Score = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Labelled:
    """Images of one split: `x` [n, D], `y` [n] (true: the first side), `groups` [n] to hold out together, if any."""

    x: Float[np.ndarray, "n D"]
    y: Bool[np.ndarray, " n"]
    groups: np.ndarray | None = None
    words: Int[np.ndarray, " n"] | None = None


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
    """Linear discriminant with Ledoit–Wolf shrinkage of the within-class covariance (Ledoit & Wolf 2004)."""
    scaled, basis = _reduce(train)
    fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(scaled, train.y)
    return _halfway(train, basis @ fitted.coef_[0])


def logistic(train: Labelled, seed: int) -> Probe:
    """Logistic regression on standardised dimensions, its strength chosen by inner cross-validation."""
    return logistic_at(train, choose_strength(train, seed))


def logistic_at(train: Labelled, strength: float) -> Probe:
    """Logistic regression at one regularisation strength."""
    scaled, basis = _reduce(train)
    with config_context(assume_finite=True, skip_parameter_validation=True):  # a third of the time of small fits
        fitted = LogisticRegression(C=strength, max_iter=1000).fit(scaled, train.y)
    direction = basis @ fitted.coef_[0]
    return Probe(direction, float(fitted.intercept_[0] - train.x.mean(axis=0) @ direction))


def choose_strength(train: Labelled, seed: int) -> float:
    """The strength with the best inner AUROC; the stronger regularisation at a tie."""
    smallest = min(int(train.y.sum()), int((~train.y).sum()))
    if smallest < FOLDS:
        return STRENGTHS[0]
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(train.x, train.y))
    means = [float(np.mean([_inner(train, fold, strength) for fold in folds])) for strength in STRENGTHS]
    return STRENGTHS[int(np.argmax(means))]


def _inner(train: Labelled, fold: tuple[np.ndarray, np.ndarray], strength: float) -> float:
    inside, outside = fold
    probe = logistic_at(Labelled(train.x[inside], train.y[inside]), strength)
    return auroc(probe.score(train.x[outside]), train.y[outside].astype(np.int64))


def shuffled_aurocs(train: Labelled, test: Labelled, strength: float, seed: int) -> Float[np.ndarray, " draws"]:
    """Held-out AUROCs when the labels of both splits are shuffled by image: what the procedure finds in nothing.

    Five probes are trained, each scored under 40 shuffles of the test labels.
    """
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(SHUFFLES):
        scores = logistic_at(Labelled(train.x, rng.permutation(train.y)), strength).score(test.x)
        draws += [auroc(scores, rng.permutation(test.y).astype(np.int64)) for _ in range(40)]
    return np.array(draws)


def control_accuracy(train: Labelled, test: Labelled, strength: float, seed: int) -> float:
    """Held-out accuracy on random labels per word type (Hewitt & Liang 2019): what memorising words gives.

    A unit's word is the last token of its rows. NaN where all units have the same word, so nothing can be memorised.
    """
    if train.words is None or test.words is None:
        return math.nan
    types = np.unique(np.concatenate([train.words, test.words]))
    coins = np.random.default_rng(seed).random(types.size) < 0.5
    learned, unseen = coins[np.searchsorted(types, train.words)], coins[np.searchsorted(types, test.words)]
    if learned.all() or not learned.any():
        return math.nan
    return logistic_at(Labelled(train.x, learned), strength).accuracy(Labelled(test.x, unseen))


def groups_out_auroc(train: Labelled, test: Labelled, strength: float, folds: int = 4) -> float:
    """Mean AUROC on test units of groups (professions) that the probe was trained without, over folds of groups.

    NaN without groups, or where a fold holds one label only in either split.
    """
    if train.groups is None or test.groups is None:
        return math.nan
    names = np.unique(np.concatenate([train.groups, test.groups]))
    areas = []
    for fold in range(min(folds, names.size)):
        out = names[fold::folds]
        inside, outside = ~np.isin(train.groups, out), np.isin(test.groups, out)
        if len(np.unique(train.y[inside])) == 2 and len(np.unique(test.y[outside])) == 2:
            probe = logistic_at(Labelled(train.x[inside], train.y[inside]), strength)
            areas.append(auroc(probe.score(test.x[outside]), test.y[outside].astype(np.int64)))
    return float(np.mean(areas)) if areas else math.nan


def sparse_probe(train: Labelled, k: int) -> tuple[list[int], Probe]:
    """Logistic regression on the `k` features whose standardised means differ most in the training units.

    Args:
        train: units whose `x` [n, F] are feature activations.
        k: features allowed (Gurnee et al. 2023, arXiv 2305.01610).

    Returns:
        The features, strongest first, and the probe over just these, in that order.
    """
    spread = train.x.std(axis=0)
    gap = np.abs(train.x[train.y].mean(axis=0) - train.x[~train.y].mean(axis=0))
    strength = np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 0)
    chosen = np.argsort(-strength, kind="stable")[:k]
    return chosen.tolist(), logistic_at(Labelled(train.x[:, chosen], train.y), SPARSE_STRENGTH)


def _halfway(train: Labelled, direction: Vector) -> Probe:
    cut = (train.x[train.y].mean(axis=0) + train.x[~train.y].mean(axis=0)) / 2
    return Probe(direction, -float(cut @ direction))


def _reduce(train: Labelled) -> tuple[Float[np.ndarray, "n R"], Float[np.ndarray, "D R"]]:
    """Standardised units, rotated into their row space where D > n (exact: the penalty is rotation invariant).

    Returns:
        The units in R dimensions, and the [D, R] map that takes a direction there back to the stream.
    """
    spread = train.x.std(axis=0)
    scale = np.divide(1, spread, out=np.zeros_like(spread, dtype=np.float64), where=spread > 1e-12)
    scaled = (train.x - train.x.mean(axis=0)) * scale
    if scaled.shape[1] <= scaled.shape[0]:
        return scaled, np.diag(scale)
    _, _, rows = np.linalg.svd(scaled, full_matrices=False)
    return scaled @ rows.T, scale[:, None] * rows.T
