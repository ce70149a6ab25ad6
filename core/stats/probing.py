"""Probes on any column of labels, each beside what chance, the commonest class and memorised words give."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from core.errors import BadInput
from core.stats.intervals import Interval, auroc, auroc_draws, wilson
from core.stats.probe_task import ProbeTask, Side, Sides, split_task
from core.stats.probes import SPARSE_K, Labelled, Probe, choose_strength, logistic_at, reduce, sparse_probe, word_labels

DRAWS = 1000
"""Resamples of the interval, and shuffles of the labels."""
CONTROLS = 5
"""Draws of random labels per word type, whose accuracies are averaged."""


@dataclass(frozen=True)
class ClassProbe:
    """The probe of one class against all others; `features` are those that it reads, strongest first, null for all."""

    probe: Probe
    features: tuple[int, ...] | None = None

    def score(self, x: Float[np.ndarray, "n D"]) -> Float[np.ndarray, " n"]:
        """Signed score of each row."""
        return self.probe.score(x if self.features is None else x[:, self.features])


@dataclass(frozen=True)
class ProbeResult:
    """How well a column of labels is read off rows of images that the probe has not seen.

    `auroc` is the area under the ROC curve, of two classes that of the second, of more the mean over classes, each
    against the others; `accuracy` the share of an image's rows put into their class, averaged over images. Beside them:
    `majority`, the accuracy of the commonest class; `shuffled`, the area for shuffled labels, the probe held fixed, and
    `p`, two-sided, of `auroc` among them; `control`, the accuracy on random labels per word type, NaN without words.
    """

    method: str
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    auroc: Interval
    accuracy: Interval
    majority: float
    shuffled: Interval
    p: float
    control: float
    probes: tuple[ClassProbe, ...]
    train_images: int
    test_images: int

    @property
    def selectivity(self) -> float:
        """Accuracy less that of the control task (Hewitt & Liang 2019); NaN without words."""
        return self.accuracy.mean - self.control

    def row(self) -> dict[str, Any]:
        """The numbers by name, for a table."""
        areas = {"auroc": self.auroc.mean, "low": self.auroc.low, "high": self.auroc.high, "p": self.p}
        rates = {"accuracy": self.accuracy.mean, "accuracy_low": self.accuracy.low, "accuracy_high": self.accuracy.high}
        chance = {"majority": self.majority, "shuffled": self.shuffled.mean, "control": self.control}
        images = {"train_images": self.train_images, "test_images": self.test_images}
        return {"method": self.method, **areas, **rates, **chance, **images}

    def __repr__(self) -> str:
        return f"<probe {self.method}: AUROC {self.auroc}, accuracy {self.accuracy}, majority {self.majority:.3f}>"


Fit = Callable[[Labelled, int], ClassProbe]
"""Fits the probe of a class, given its rows and its number."""


def linear_probe(task: ProbeTask, seed: int = 0, draws: int = DRAWS) -> ProbeResult:
    """Logistic regression on standardised dimensions, its strength chosen by inner cross-validation, for each class.

    Raises:
        BadInput: the task's columns do not fit each other, or leave fewer than two classes.
    """
    sides = split_task(task, seed)
    strengths = [choose_strength(labelled, seed) for labelled in _against_others(sides.train, len(sides.classes))]
    reduced = reduce(sides.train.x)  # of all that is fitted to these rows, random labels included

    def fit(train: Labelled, number: int) -> ClassProbe:
        return ClassProbe(logistic_at(train, strengths[number], reduced))

    return _result("logistic", sides, fit, seed, draws)


def sparse_probes(
    task: ProbeTask, ks: Sequence[int] = SPARSE_K, seed: int = 0, draws: int = DRAWS
) -> dict[int, ProbeResult]:
    """The same on the `k` features whose standardised means differ most on the training side (Gurnee et al. 2023).

    Raises:
        BadInput: as `linear_probe`; or a k is not from 1 to the number of features.
    """
    sides = split_task(task, seed)
    if wrong := [k for k in ks if not 1 <= k <= sides.train.x.shape[1]]:
        raise BadInput(f"probe: k {wrong[0]}; there are {sides.train.x.shape[1]} features")

    def fitted(k: int) -> Fit:
        def fit(train: Labelled, _number: int) -> ClassProbe:
            chosen, probe = sparse_probe(train, k)
            return ClassProbe(probe, tuple(chosen))

        return fit

    return {k: _result(f"{k} feature{'s' if k > 1 else ''}", sides, fitted(k), seed, draws) for k in ks}


def _against_others(side: Side, classes: int) -> list[Labelled]:
    """The side once for each class against the others; of two classes the second alone."""
    numbers = range(1, 2) if classes == 2 else range(classes)
    return [Labelled(side.x, side.codes == number, units=side.units) for number in numbers]


def _result(method: str, sides: Sides, fit: Fit, seed: int, draws: int) -> ProbeResult:
    train, test, classes = sides.train, sides.test, len(sides.classes)
    probes = tuple(fit(labelled, number) for number, labelled in enumerate(_against_others(train, classes)))
    scores = _scores(probes, test.x)
    truth = _one_hot(test.codes, scores.shape[1])
    drawn = np.mean([auroc_draws(s, y, draws, seed, test.units) for s, y in zip(scores.T, truth.T)], axis=0)
    area, (low, high) = _mean_area(scores, truth), np.nanquantile(drawn, [0.025, 0.975])
    null = np.array([_mean_area(scores, _one_hot(codes, scores.shape[1])) for codes in _shuffles(test, draws, seed)])
    spread = np.quantile(null, [0.025, 0.975])
    return ProbeResult(
        method=method,
        classes=sides.classes,
        left_out=sides.left_out,
        auroc=Interval(float(low), area, float(high)),
        accuracy=_rate(_decided(scores) == test.codes, test.units),
        majority=_rate(test.codes == np.bincount(train.codes).argmax(), test.units).mean,
        shuffled=Interval(float(spread[0]), float(null.mean()), float(spread[1])),
        p=float((1 + np.count_nonzero(abs(null - 0.5) >= abs(area - 0.5) - 1e-12)) / (1 + draws)),
        control=_control(sides, fit, seed),
        probes=probes,
        train_images=int(train.units.max()) + 1,
        test_images=int(test.units.max()) + 1,
    )


def _scores(probes: Sequence[ClassProbe], x: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n C"]:
    return np.stack([probe.score(x) for probe in probes], axis=1)


def _one_hot(codes: Int[np.ndarray, " n"], columns: int) -> Bool[np.ndarray, "n C"]:
    return np.asarray(codes[:, None] == (np.arange(columns) if columns > 1 else 1))


def _decided(scores: Float[np.ndarray, "n C"]) -> Int[np.ndarray, " n"]:
    return scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(np.int64)


def _mean_area(scores: Float[np.ndarray, "n C"], truth: Bool[np.ndarray, "n C"]) -> float:
    return float(np.mean([auroc(s, y.astype(np.int64)) for s, y in zip(scores.T, truth.T)]))


def _rate(right: Bool[np.ndarray, " n"], units: Int[np.ndarray, " n"]) -> Interval:
    shares = np.bincount(units, weights=right) / np.bincount(units)
    return wilson(float(shares.sum()), len(shares))


def _shuffles(side: Side, draws: int, seed: int) -> list[Int[np.ndarray, " n"]]:
    """The side's classes, shuffled: between images where each has one class, else between the rows of each image."""
    rng = np.random.default_rng(seed)
    first = np.unique(side.units, return_index=True)[1]
    if (side.codes == side.codes[first][side.units]).all():
        return [rng.permutation(side.codes[first])[side.units] for _ in range(draws)]
    rows = np.argsort(side.units, kind="stable")
    found = []
    for _ in range(draws):
        shuffled = side.codes.copy()
        shuffled[rows] = side.codes[np.lexsort((rng.random(len(rows)), side.units))]
        found.append(shuffled)
    return found


def _control(sides: Sides, fit: Fit, seed: int) -> float:
    """Accuracy on a random class per word type, by image as `accuracy`, averaged over draws in which it is defined."""
    train, test, classes = sides.train, sides.test, len(sides.classes)
    if train.words is None or test.words is None:
        return math.nan
    found = []
    for draw in range(CONTROLS):
        learned, unseen = word_labels(train.words, test.words, classes, seed + draw)
        if len(np.unique(learned)) < classes:
            continue
        side = Side(train.x, learned, train.units, None)
        probes = [fit(labelled, number) for number, labelled in enumerate(_against_others(side, classes))]
        found.append(_rate(_decided(_scores(probes, test.x)) == unseen, test.units).mean)
    return float(np.mean(found)) if found else math.nan
