"""A four-parameter logistic curve of rates over doses, and the dose half-way up it."""

import math
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, special

from core.stats.intervals import weights

LEAST_DOSES = 5
"""Doses without which four parameters are not fitted."""
LEAST_SPAN = 0.2
"""Least difference between the highest and the lowest rate."""
STEEPEST = 20.0
"""Largest steepness, over the smallest gap between two doses: the curve is then a step between them."""
LEAST_FITTED = 0.9
"""Share of the resamples that must be fitted for an interval."""

_COARSE = 1e-5
"""Tolerance of the fits of resamples, whose mid-doses differ by far more."""

Reason = Literal["", "too few doses", "the rates do not span", "no convergence", "the mid-dose is at the last dose"]


class Logistic(NamedTuple):
    """lower + (upper − lower) / (1 + exp(−steepness · (dose − middle))).

    A falling curve has `lower` above `upper`. `r2` is the share of the rates' variance over doses that it explains; all
    are NaN where there is a `reason` not to fit.
    """

    lower: float
    upper: float
    steepness: float
    middle: float
    r2: float
    reason: Reason = ""

    def at(self, doses: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
        """The curve's rates."""
        return _curve(np.array(self[:4]), doses)


class MiddleInterval(NamedTuple):
    """The 95 % interval of the mid-dose, NaN where fewer than 90 % of the resamples were fitted, and how many were."""

    low: float
    high: float
    fitted: int


def fit_logistic(doses: Float[np.ndarray, " S"], rates: Float[np.ndarray, " S"], tolerance: float = 1e-8) -> Logistic:
    """Bounded least squares: rates within 0 and 1, steepness from 0, the mid-dose within the doses.

    Equal to scipy.optimize.curve_fit with the same start and bounds, without its covariance.

    Args:
        doses: in any order.
        rates: at the doses.
        tolerance: relative change of the squares, and of the parameters, at which the fit ends.
    """
    if np.unique(doses).size < LEAST_DOSES:
        return _unfitted("too few doses")
    if np.ptp(rates) < LEAST_SPAN:
        return _unfitted("the rates do not span")
    order = np.argsort(doses, kind="stable")
    x, y = np.asarray(doses, np.float64)[order], np.asarray(rates, np.float64)[order]
    low, high = bounds(x)
    ends = {"ftol": tolerance, "xtol": tolerance, "gtol": tolerance, "max_nfev": 200}
    found = optimize.least_squares(
        lambda given: _curve(given, x) - y, start(x, y), lambda given: _jacobian(given, x), (low, high), **ends
    )
    if not found.success:
        return _unfitted("no convergence")
    middle, edge = float(found.x[3]), 1e-3 * (high[3] - low[3])
    if middle - low[3] < edge or high[3] - middle < edge:
        return _unfitted("the mid-dose is at the last dose")
    r2 = 1 - float(np.square(found.fun).sum() / np.square(y - y.mean()).sum())
    lower, upper, steepness, middle = map(float, found.x)
    return Logistic(lower, upper, steepness, middle, r2)


def middle_interval(
    doses: Float[np.ndarray, " S"],
    rates: Float[np.ndarray, "N S"],
    draws: int,
    seed: int,
    units: Int[np.ndarray, " N"],
) -> MiddleInterval:
    """The mid-dose refitted in each bootstrap resample of the units.

    Args:
        doses: at which the rates were measured.
        rates: by image and dose.
        draws: resamples.
        seed: of the resampling.
        units: what each image belongs to; one unit has no interval.
    """
    if np.unique(units).size < 2:
        return MiddleInterval(math.nan, math.nan, 0)
    drawn = weights(len(rates), draws, seed, units).astype(np.float64)
    means = drawn @ rates / drawn.sum(axis=1)[:, None]
    distinct, counts = np.unique(means, axis=0, return_counts=True)
    fits = [fit_logistic(doses, row, _COARSE) for row in distinct]
    fitted = np.array([not fit.reason for fit in fits])
    middles = np.repeat(np.array([fit.middle for fit in fits])[fitted], counts[fitted])
    if middles.size < LEAST_FITTED * draws:
        return MiddleInterval(math.nan, math.nan, middles.size)
    low, high = np.quantile(middles, [0.025, 0.975])
    return MiddleInterval(float(low), float(high), middles.size)


def bounds(doses: Float[np.ndarray, " S"]) -> tuple[Float[np.ndarray, " 4"], Float[np.ndarray, " 4"]]:
    """Least and largest lower, upper, steepness and mid-dose; the doses ascend."""
    steepest = STEEPEST / float(np.diff(np.unique(doses)).min())
    return np.array([0, 0, 0, doses[0]]), np.array([1, 1, steepest, doses[-1]])


def start(doses: Float[np.ndarray, " S"], rates: Float[np.ndarray, " S"]) -> Float[np.ndarray, " 4"]:
    """Where the fit starts: the outermost rates, the dose nearest half-way between them, and a slope over the doses."""
    half = (rates[0] + rates[-1]) / 2
    middle = doses[1:-1][np.abs(rates[1:-1] - half).argmin()]
    ends = np.clip(rates[[0, -1]], 0.01, 0.99)
    return np.array([*ends, 8 / np.ptp(doses), middle])


def _curve(given: Float[np.ndarray, " 4"], doses: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
    lower, upper, steepness, middle = given
    return np.asarray(lower + (upper - lower) * special.expit(steepness * (doses - middle)))


def _jacobian(given: Float[np.ndarray, " 4"], doses: Float[np.ndarray, " S"]) -> Float[np.ndarray, "S 4"]:
    lower, upper, steepness, middle = given
    up = special.expit(steepness * (doses - middle))
    slope = (upper - lower) * up * (1 - up)
    return np.stack([1 - up, up, slope * (doses - middle), -slope * steepness], axis=1)


def _unfitted(reason: Reason) -> Logistic:
    return Logistic(math.nan, math.nan, math.nan, math.nan, math.nan, reason)
