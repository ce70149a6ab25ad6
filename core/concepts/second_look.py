"""A second look at the chosen features, on the selection split: rank measures too slow for millions of features."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from core.concepts.full_sentences import LABELS
from core.concepts.scores import Measured
from core.stats.intervals import weights


def kendall(values: Float[np.ndarray, "n m"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """Kendall's tau-b of each feature with the label; NaN where one of them is constant."""
    return np.array([stats.kendalltau(column, labels).statistic for column in values.T])


def partial_spearman(
    values: Float[np.ndarray, "n m"], labels: Int[np.ndarray, " n"], given: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " m"]:
    """Spearman of each feature with the label, the rank of `given` partialled out of both.

    NaN where `given` determines one of them. Where `given` is constant it is the plain correlation.
    """
    x, y, z = (_standardised(stats.rankdata(part, axis=0)) for part in (values, labels[:, None], given[:, None]))
    xy, xz, yz = (x.T @ y)[:, 0], (x.T @ z)[:, 0], float((y.T @ z)[0, 0])
    scale = np.sqrt(np.maximum((1 - xz**2) * (1 - yz**2), 0))
    return np.asarray(np.divide(xy - xz * yz, scale, out=np.full(xy.size, np.nan), where=scale > 1e-9))


def isotonic_r2(
    values: Float[np.ndarray, "n m"], labels: Int[np.ndarray, " n"], sign: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """Share of each feature's variance that the best monotone function of the label explains, in the sign's direction.

    Least squares over functions with f(0) ≤ f(1) ≤ f(2) ≤ f(3), or falling where the sign is negative. NaN for a
    constant feature.
    """
    turned = values * np.where(sign < 0, -1, 1)
    counts = np.array([(labels == label).sum() for label in LABELS], dtype=np.float64)
    means = np.stack([turned[labels == label].sum(axis=0) for label in LABELS]) / np.maximum(counts, 1)[:, None]
    fitted = _isotonic(means[counts > 0], counts[counts > 0])
    grand = turned.mean(axis=0)
    explained = (counts[counts > 0][:, None] * (fitted - grand) ** 2).sum(axis=0)
    total = ((turned - grand) ** 2).sum(axis=0)
    return np.asarray(np.divide(explained, total, out=np.full(total.size, np.nan), where=total > 0))


def _isotonic(means: Float[np.ndarray, "c m"], counts: Float[np.ndarray, " c"]) -> Float[np.ndarray, "c m"]:
    """Weighted isotonic regression by its max-min formula: max over starts ≤ i of min over ends ≥ i of block means."""
    classes = len(counts)
    weighted = np.concatenate([np.zeros((1, means.shape[1])), np.cumsum(means * counts[:, None], axis=0)])
    reached = np.concatenate([[0], np.cumsum(counts)])

    def block(low: int, high: int) -> Float[np.ndarray, " m"]:
        return np.asarray((weighted[high + 1] - weighted[low]) / (reached[high + 1] - reached[low]))

    fitted = [
        np.max([np.min([block(low, high) for high in range(own, classes)], axis=0) for low in range(own + 1)], axis=0)
        for own in range(classes)
    ]
    return np.stack(fitted)


def _standardised(ranks: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
    centred = ranks - ranks.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)
    return np.asarray(np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0))


@dataclass(frozen=True)
class Stability:
    """The chosen features over bootstrap resamples of families.

    Args:
        stays: share of resamples in which each is among the best of all tested features, as many as were chosen; NaN
            where all tested features were chosen, which are always among the best.
        low: 2.5th percentile of its measure.
        high: 97.5th percentile.
    """

    stays: Float[np.ndarray, " m"]
    low: Float[np.ndarray, " m"]
    high: Float[np.ndarray, " m"]


def stability(
    measured: Measured, chosen: Int[np.ndarray, " m"], families: np.ndarray, draws: int, seed: int
) -> Stability:
    """How the chosen features do in resamples of families, all tested features ranked again in each.

    Args:
        measured: the measure that they were chosen by, on its sentences.
        chosen: numbers of the chosen among the tested features.
        families: of the measure's sentences.
        draws: resamples; those that hold one class alone are left out.
        seed: of the resampling.
    """
    counts = weights(families.size, draws, seed, families)
    found = list(_resamples(measured, chosen, counts))
    if not found or (counts == counts[0]).all():  # no resample, or one family
        nothing = np.full(chosen.size, np.nan)
        return Stability(nothing, nothing, nothing)
    stays, effects = (np.stack(part) for part in zip(*found, strict=True))
    low, high = np.quantile(effects, [0.025, 0.975], axis=0) + measured.measure.null
    all_chosen = chosen.size == measured.ranks.shape[1]
    return Stability(np.full(chosen.size, np.nan) if all_chosen else stays.mean(axis=0), low, high)


def _resamples(
    measured: Measured, chosen: Int[np.ndarray, " m"], counts: Int[np.ndarray, "draws n"]
) -> Iterator[tuple[Bool[np.ndarray, " m"], Float[np.ndarray, " m"]]]:
    for own in counts:
        if np.unique(measured.classes[own > 0]).size < 2:
            continue
        effects = measured.resampled(own)
        distance = np.abs(effects)
        last = np.partition(distance, -chosen.size)[-chosen.size]
        yield distance[chosen] >= last, effects[chosen]
