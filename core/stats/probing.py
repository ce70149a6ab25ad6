"""Probes on any column of labels, each beside what chance, the commonest class and memorised words give."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from core.errors import BadInput
from core.stats.intervals import Interval, wilson
from core.stats.probe_task import ProbeTask, Side, Sides, split_task
from core.stats.probes import (
    SPARSE_K,
    Labelled,
    Probe,
    choose_strength,
    logistic_at,
    reduce,
    sparse_probe,
    strongest_first,
    word_labels,
)
from core.stats.ranks import rank
from core.stats.scored import Scored

DRAWS = 1000
"""Resamples of the interval, and shuffles of the labels."""
CONTROLS = 5
"""Draws of random labels per word type, whose accuracies are averaged."""


_AT_ONCE = 64
"""Shuffles that are drawn together."""


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

    def scored(self, x: Float[np.ndarray, "n D"], labels: Sequence[Any], units: Int[np.ndarray, " n"]) -> Scored:
        """Scores of rows beside their classes, one column a probe; rows of none of the classes are left out."""
        codes = np.array([self.classes.index(name) if (name := str(label)) in self.classes else -1 for label in labels])
        known = codes >= 0
        scores = _scores(self.probes, x[known])
        return Scored(scores, _one_hot(codes[known], scores.shape[1]), units[known])

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


def linear_probe(task: ProbeTask, seed: int = 0, draws: int = DRAWS, controls: int = CONTROLS) -> ProbeResult:
    """Logistic regression on standardised dimensions, its strength chosen by inner cross-validation, for each class.

    `draws` are resamples and shuffles, `controls` draws of random labels per word type (0 leaves `control` NaN).

    Raises:
        BadInput: the task's columns do not fit each other, or leave fewer than two classes.
    """
    sides = split_task(task, seed)
    strengths = [choose_strength(labelled, seed) for labelled in _against_others(sides.train, len(sides.classes))]
    reduced = reduce(sides.train.x)  # of all that is fitted to these rows, random labels included

    def fit(train: Labelled, number: int) -> ClassProbe:
        return ClassProbe(logistic_at(train, strengths[number], reduced))

    return _result("logistic", _Asked.of(sides, seed, draws, controls), fit)


def sparse_probes(
    task: ProbeTask, ks: Sequence[int] = SPARSE_K, seed: int = 0, draws: int = DRAWS, controls: int = CONTROLS
) -> dict[int, ProbeResult]:
    """The same on the `k` features whose standardised means differ most on the training side (Gurnee et al. 2023).

    Raises:
        BadInput: as `linear_probe`; or a k is not from 1 to the number of features.
    """
    sides = split_task(task, seed)
    if wrong := [k for k in ks if not 1 <= k <= sides.train.x.shape[1]]:
        raise BadInput(f"probe: k {wrong[0]}; there are {sides.train.x.shape[1]} features")

    orders: dict[bytes, Int[np.ndarray, " m"]] = {}  # by labels: the same at every k, random labels included

    def order(train: Labelled) -> Int[np.ndarray, " m"]:
        key = train.y.tobytes()
        if key not in orders:
            orders[key] = strongest_first(train)[: max(ks)].copy()
        return orders[key]

    def fitted(k: int) -> Fit:
        def fit(train: Labelled, _number: int) -> ClassProbe:
            chosen, probe = sparse_probe(train, k, order(train))
            return ClassProbe(probe, tuple(chosen))

        return fit

    asked = _Asked.of(sides, seed, draws, controls)
    return {k: _result(f"{k} feature{'s' if k > 1 else ''}", asked, fitted(k)) for k in ks}


@dataclass(frozen=True)
class _Asked:
    """What every probe of a task is measured on: its sides, and `shuffled` [n, draws] classes of the test side."""

    sides: Sides
    shuffled: Int[np.ndarray, "n draws"]
    seed: int
    controls: int

    @classmethod
    def of(cls, sides: Sides, seed: int, draws: int, controls: int) -> "_Asked":
        return cls(sides, _shuffles(sides.test, draws, seed), seed, controls)


def _against_others(side: Side, classes: int) -> list[Labelled]:
    """The side once for each class against the others; of two classes the second alone."""
    numbers = range(1, 2) if classes == 2 else range(classes)
    return [Labelled(side.x, side.codes == number, units=side.units) for number in numbers]


def _result(method: str, asked: _Asked, fit: Fit) -> ProbeResult:
    train, test, classes = asked.sides.train, asked.sides.test, len(asked.sides.classes)
    probes = tuple(fit(labelled, number) for number, labelled in enumerate(_against_others(train, classes)))
    scores = _scores(probes, test.x)
    draws = asked.shuffled.shape[1]
    scored = Scored(scores, _one_hot(test.codes, scores.shape[1]), test.units)
    area = scored.area
    low, high = np.nanquantile(scored.area_draws(draws, asked.seed), [0.025, 0.975])
    null = _null_areas(scores, asked.shuffled)
    spread = np.quantile(null, [0.025, 0.975])
    return ProbeResult(
        method=method,
        classes=asked.sides.classes,
        left_out=asked.sides.left_out,
        auroc=Interval(float(low), area, float(high)),
        accuracy=_rate(_decided(scores) == test.codes, test.units),
        majority=_rate(test.codes == np.bincount(train.codes).argmax(), test.units).mean,
        shuffled=Interval(float(spread[0]), float(null.mean()), float(spread[1])),
        p=float((1 + np.count_nonzero(abs(null - 0.5) >= abs(area - 0.5) - 1e-12)) / (1 + draws)),
        control=_control(asked, fit),
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


def _null_areas(scores: Float[np.ndarray, "n C"], shuffled: Int[np.ndarray, "n draws"]) -> Float[np.ndarray, " draws"]:
    """The mean area over classes for each shuffle, by ranks (Mann & Whitney 1947)."""
    found = []
    for number, ranked in enumerate(rank(scores).T):
        ones = shuffled == (number if scores.shape[1] > 1 else 1)
        count = ones.sum(axis=0)
        found.append(0.5 + (ranked @ ones) / (count * (len(ones) - count)))
    return np.asarray(np.mean(found, axis=0))


def _rate(right: Bool[np.ndarray, " n"], units: Int[np.ndarray, " n"]) -> Interval:
    shares = np.bincount(units, weights=right) / np.bincount(units)
    return wilson(float(shares.sum()), len(shares))


def _shuffles(side: Side, draws: int, seed: int) -> Int[np.ndarray, "n draws"]:
    """The side's classes, shuffled: images trade theirs with images of as many rows, in a random order within each."""
    rng = np.random.default_rng(seed)
    order = np.argsort(side.units, kind="stable")
    sizes = np.bincount(side.units)
    starts = np.cumsum(sizes) - sizes
    found = np.empty((len(side.codes), draws), dtype=np.int32)
    for size in np.unique(sizes):
        members = order[starts[sizes == size][:, None] + np.arange(size)]
        for start in range(0, draws, _AT_ONCE):
            some = slice(start, min(start + _AT_ONCE, draws))
            given = members[rng.random((len(members), some.stop - start)).argsort(axis=0)]  # [images, draws, size]
            within = rng.random(given.shape).argsort(axis=2)
            shuffled = side.codes[np.take_along_axis(given, within, axis=2)]
            for place in range(size):
                found[members[:, place], some] = shuffled[:, :, place]
    return found


def _control(asked: _Asked, fit: Fit) -> float:
    """Accuracy on a random class per word type, by image as `accuracy`, averaged over draws in which it is defined."""
    train, test, classes = asked.sides.train, asked.sides.test, len(asked.sides.classes)
    if train.words is None or test.words is None:
        return math.nan
    found = []
    for draw in range(asked.controls):
        learned, unseen = word_labels(train.words, test.words, classes, asked.seed + draw)
        if len(np.unique(learned)) < classes:
            continue
        side = Side(train.x, learned, train.units, None)
        probes = [fit(labelled, number) for number, labelled in enumerate(_against_others(side, classes))]
        found.append(_rate(_decided(_scores(probes, test.x)) == unseen, test.units).mean)
    return float(np.mean(found)) if found else math.nan
