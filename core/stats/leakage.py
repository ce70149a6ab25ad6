"""LIC, leakage for image captioning (Hirota, Nakashima & Garcia 2022, "Quantifying Societal Bias Amplification in Image
Captioning", CVPR).

A classifier learns an image's side from its caption, from which the words that tell the side are taken out. Leakage is
the classifier's mean confidence in the right side, counted only where it names that side. LIC is the leakage of a
model's captions minus that of the data's own: above 0, the model's other words tell more of the side. Words of the
data's captions that no caption of the model has are one unknown word, as in the paper. Its classifiers are an LSTM and
BERT trained on tens of thousands of captions; here it is logistic regression on which words a caption has, scored on
images that it was not trained on (cross-validation by unit), for sets of hundreds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from core.stats.group_means import Agreement
from core.stats.intervals import bootstrap_mean
from core.stats.two_level import Nested

Words = Sequence[str]
"""A caption's words, those that tell the side taken out."""
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
FOLDS = 5
LEAST = 10
"""Fewest units of either side."""


@dataclass(frozen=True, eq=False)
class Leakage:
    """Leakage of the model's and of the data's captions, LIC with its interval, and each with shuffled sides."""

    model: float
    data: float
    shuffled: tuple[float, float]
    lic: Agreement


def bags(captions: Sequence[Words], vocabulary: Sequence[str]) -> Float[np.ndarray, "N W"]:
    """Which words each caption has, 0 or 1; words outside the vocabulary count as `UNKNOWN`, the last column."""
    place = {word: number for number, word in enumerate(vocabulary)}
    found = np.zeros((len(captions), len(place) + 1))
    for row, words in enumerate(captions):
        found[row, [place.get(word, len(place)) for word in words]] = 1
    return found


def leaked(
    x: Float[np.ndarray, "N W"], side: Bool[np.ndarray, " N"], units: Int[np.ndarray, " N"], seed: int
) -> Float[np.ndarray, " N"]:
    """Each caption's confidence in its own side where the classifier names that side, else 0; out of fold."""
    scores = np.zeros(len(x))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for inside, outside in folds.split(x, side, units):
        if side[inside].all() or not side[inside].any():
            scores[outside] = side[inside].mean()
            continue
        fitted = LogisticRegression(max_iter=1000).fit(x[inside], side[inside])
        scores[outside] = fitted.predict_proba(x[outside])[:, 1]
    own = np.where(side, scores, 1 - scores)
    return np.asarray(np.where(own > 0.5, own, 0))


def leakage(
    captions: tuple[Sequence[Words], Sequence[Words]],
    side: Bool[np.ndarray, " N"],
    units: Int[np.ndarray, " N"] | Nested,
    draws: tuple[int, int],
    seed: int,
) -> Leakage | None:
    """LIC of a set of captions.

    Args:
        captions: the model's and the data's, one of each per image and in the same order.
        side: whether each image is on the first side, by its own label.
        units: what each image belongs to; nested: the interval draws groups, then units within each.
        draws: resamples of the units, the classifiers held fixed; shuffles of the sides over units, on which both
            classifiers are trained anew.
        seed: of folds, resamples and shuffles.

    Returns:
        Null with fewer than `LEAST` units of either side.
    """
    own = units.units if isinstance(units, Nested) else units
    if min(np.unique(own[side]).size, np.unique(own[~side]).size) < LEAST:
        return None
    vocabulary = sorted({word for words in captions[0] for word in words})
    x = [bags(some, vocabulary) for some in captions]
    model, data = (leaked(one, side, own, seed) for one in x)
    rng = np.random.default_rng([seed, 4])
    null = np.array(
        [[leaked(one, moved, own, seed).mean() for one in x] for moved in _shuffles(side, own, draws[1], rng)]
    )
    interval = bootstrap_mean(model - data, draws[0], seed, units)
    lic = Agreement(interval.mean, interval.low, interval.high, null[:, 0] - null[:, 1])
    shuffled = (float(null[:, 0].mean()), float(null[:, 1].mean()))
    return Leakage(float(model.mean()), float(data.mean()), shuffled, lic)


def _shuffles(
    side: Bool[np.ndarray, " N"], units: Int[np.ndarray, " N"], draws: int, rng: np.random.Generator
) -> list[Bool[np.ndarray, " N"]]:
    """The sides of units of one size exchanged among them: twins are on opposite sides in a shuffle too."""
    members = [np.flatnonzero(units == unit) for unit in np.unique(units)]
    found = []
    for _ in range(draws):
        moved = side.copy()
        for size in sorted({len(own) for own in members}):
            some = [own for own in members if len(own) == size]
            for place, source in enumerate(rng.permutation(len(some))):
                moved[some[place]] = rng.permutation(side[some[source]])
        found.append(moved)
    return found
