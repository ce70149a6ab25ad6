"""LIC, leakage for image captioning (Hirota, Nakashima & Garcia 2022, "Quantifying Societal Bias Amplification in Image
Captioning", CVPR).

A classifier learns an image's side from its caption, from which the words that tell the side are taken out. Leakage is
the classifier's mean confidence in the right side, counted only where it names that side. LIC is the leakage of a
model's captions minus that of the data's own: above 0, the model's other words tell more of the side. Words of the
data's captions that no caption of the model has are one unknown word, as in the paper. Its classifiers are an LSTM and
BERT trained on tens of thousands of captions; here it is logistic regression on which words a caption has, scored on
images that it was not trained on (cross-validation by unit), for sets of hundreds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import t
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from core.stats.group_means import Agreement

Words = Sequence[str]
"""A caption's words, those that tell the side taken out."""
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
FOLDS = 5
BLOCKS = 20
"""Parts of the units that are left out in turn, for the interval."""
SHUFFLES = 19
"""Shuffles of the sides, which show what leakage is of captions that tell nothing."""
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


def folds_of(side: Bool[np.ndarray, " N"], units: Int[np.ndarray, " N"], seed: int) -> Int[np.ndarray, " N"]:
    """The fold of each caption: those of a unit are in one, and the sides are as even as can be."""
    found = np.zeros(len(side), dtype=np.int64)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for number, (_, outside) in enumerate(folds.split(found, side, units)):
        found[outside] = number
    return found


def leaked(
    x: Float[np.ndarray, "N W"], side: Bool[np.ndarray, " N"], folds: Int[np.ndarray, " N"]
) -> Float[np.ndarray, " N"]:
    """Each caption's confidence in its own side where the classifier names that side, else 0; out of fold."""
    scores = np.zeros(len(x))
    for fold in np.unique(folds):
        outside = folds == fold
        inside = ~outside
        if side[inside].all() or not side[inside].any():
            scores[outside] = side[inside].mean()
            continue
        fitted = LogisticRegression(max_iter=1000).fit(x[inside], side[inside])
        scores[outside] = fitted.predict_proba(x[outside])[:, 1]
    own = np.where(side, scores, 1 - scores)
    return np.asarray(np.where(own > 0.5, own, 0))


@dataclass(frozen=True, eq=False)
class _Captions:
    """The model's captions and the data's, with the side and the fold of each image."""

    model: Sequence[Words]
    data: Sequence[Words]
    side: Bool[np.ndarray, " N"]
    folds: Int[np.ndarray, " N"]

    def leakages(self) -> tuple[float, float]:
        """Mean leakage of the model's and of the data's, each by classifiers of its own."""
        vocabulary = sorted({word for words in self.model for word in words})
        model, data = (
            float(leaked(bags(some, vocabulary), self.side, self.folds).mean()) for some in (self.model, self.data)
        )
        return model, data

    def lic(self) -> float:
        """Leakage of the model's less that of the data's."""
        model, data = self.leakages()
        return model - data

    def exchanged(self, which: Bool[np.ndarray, " N"]) -> "_Captions":
        """The model's and the data's exchanged for some images."""
        pairs = [(b, a) if swap else (a, b) for a, b, swap in zip(self.model, self.data, which, strict=True)]
        return replace(self, model=[a for a, _ in pairs], data=[b for _, b in pairs])

    def of(self, kept: Bool[np.ndarray, " N"]) -> "_Captions":
        """Those of some images, in the folds that they were in."""
        places = np.flatnonzero(kept).tolist()
        model, data = ([some[place] for place in places] for some in (self.model, self.data))
        return _Captions(model, data, self.side[kept], self.folds[kept])


def leakage(
    captions: tuple[Sequence[Words], Sequence[Words]],
    side: Bool[np.ndarray, " N"],
    units: Int[np.ndarray, " N"],
    draws: int,
    seed: int,
) -> Leakage | None:
    """LIC of a set of captions.

    The control exchanges the model's and the data's captions of units at random, and trains both classifiers on what
    comes of it: what LIC is where both are drawn alike. The interval leaves out each of `BLOCKS` parts of the units in
    turn, trains again, and takes Student's t of the delete-a-group jackknife (Kott 2001, "The delete-a-group
    jackknife", J. Official Statistics 17). Resamples with replacement would train on copies, and held-fixed classifiers
    leave out what differs between trainings.

    Args:
        captions: the model's and the data's, one of each per image and in the same order.
        side: whether each image is on the first side, by its own label.
        units: what each image belongs to; a unit is in one fold, in one part, and exchanged as a whole.
        draws: exchanges.
        seed: of folds, parts, exchanges and shuffles.

    Returns:
        Null with fewer than `LEAST` units of either side.
    """
    if min(np.unique(units[side]).size, np.unique(units[~side]).size) < LEAST:
        return None
    _, own = np.unique(units, return_inverse=True)
    whole = _Captions(*captions, side, folds_of(side, own, seed))
    model, data = whole.leakages()
    low, high = _jackknife(whole, own, model - data, seed)
    coins = np.random.default_rng([seed, 3]).integers(0, 2, (draws, int(own.max()) + 1)).astype(bool)
    null = np.array([whole.exchanged(coin[own]).lic() for coin in coins])
    rng = np.random.default_rng([seed, 4])
    moved = [replace(whole, side=one, folds=folds_of(one, own, seed)) for one in _shuffles(side, own, SHUFFLES, rng)]
    shuffled = np.mean([one.leakages() for one in moved], axis=0)
    return Leakage(model, data, (float(shuffled[0]), float(shuffled[1])), Agreement(model - data, low, high, null))


def _jackknife(whole: _Captions, units: Int[np.ndarray, " N"], value: float, seed: int) -> tuple[float, float]:
    """Ends of the interval of LIC: its value and Student's t of the jackknife's standard error either way."""
    count = int(units.max()) + 1
    blocks = np.random.default_rng([seed, 5]).permutation(count) % min(BLOCKS, count)
    parts = np.array([whole.of(blocks[units] != block).lic() for block in np.unique(blocks)])
    spare = parts.size - 1
    half = t.ppf(0.975, spare) * math.sqrt(spare / parts.size * np.square(parts - parts.mean()).sum())
    return value - half, value + half


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
