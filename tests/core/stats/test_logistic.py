import numpy as np
import pytest
from scipy.optimize import curve_fit

from core.stats.logistic import Logistic, bounds, fit_logistic, middle_interval, start

DOSES = np.array([-4, -2, -1, -0.5, 0, 0.5, 1, 2, 4.0])


def thresholds(images: int, middle: float = 0.4, seed: int = 0) -> np.ndarray:
    """Rates of images that turn at a dose of their own, around `middle`: [N, S]."""
    turning = np.random.default_rng(seed).logistic(middle, 0.6, images)
    return (DOSES[None] > turning[:, None]).astype(float)


@pytest.mark.parametrize("planted", [(0.1, 0.9, 1.7, 0.4), (0.8, 0.2, 3.0, -0.7), (0.0, 1.0, 0.8, 1.2)])
def test_the_planted_curve_comes_back_rising_or_falling(planted: tuple[float, float, float, float]) -> None:
    curve = Logistic(*planted, r2=1.0)
    found = fit_logistic(DOSES, curve.at(DOSES))
    np.testing.assert_allclose(found[:4], planted, atol=1e-4)
    assert found.r2 == pytest.approx(1) and found.reason == ""


def test_it_is_scipys_curve_fit() -> None:
    rates = thresholds(24).mean(axis=0)

    def four(dose: np.ndarray, lower: float, upper: float, steepness: float, middle: float) -> np.ndarray:
        return lower + (upper - lower) / (1 + np.exp(-steepness * (dose - middle)))

    expected, _ = curve_fit(four, DOSES, rates, p0=start(DOSES, rates), bounds=bounds(DOSES))
    np.testing.assert_allclose(fit_logistic(DOSES, rates)[:4], expected, rtol=1e-3, atol=1e-4)


def test_the_order_of_the_doses_does_not_matter() -> None:
    rates, order = thresholds(24).mean(axis=0), np.random.default_rng(0).permutation(DOSES.size)
    np.testing.assert_allclose(fit_logistic(DOSES[order], rates[order])[:5], fit_logistic(DOSES, rates)[:5])


@pytest.mark.parametrize(
    ("doses", "rates", "reason"),
    [
        (DOSES[:4], np.array([0, 0.3, 0.6, 1.0]), "too few doses"),
        (DOSES, np.linspace(0.5, 0.65, 9), "the rates do not span"),
        (DOSES, np.array([0, 0, 0, 0, 0, 0, 0, 0, 1.0]), "the mid-dose is at the last dose"),
    ],
)
def test_what_cannot_be_fitted_says_why(doses: np.ndarray, rates: np.ndarray, reason: str) -> None:
    found = fit_logistic(doses, rates)
    if reason == "the mid-dose is at the last dose" and not found.reason:
        assert found.middle > 2  # a step between the last two doses: anywhere between them
    else:
        assert found.reason == reason and np.isnan(found.middle)


def test_the_interval_is_of_units_and_holds_the_mid_dose() -> None:
    rates = thresholds(40)
    middle = fit_logistic(DOSES, rates.mean(axis=0)).middle
    low, high, fitted = middle_interval(DOSES, rates, 60, 0, np.arange(40))
    assert low < middle < high and fitted >= 54
    twice = np.concatenate([rates, rates])
    same = middle_interval(DOSES, twice, 60, 0, np.tile(np.arange(40), 2))
    assert (same.low, same.high) == pytest.approx((low, high), abs=1e-6)
    alone = middle_interval(DOSES, rates, 60, 0, np.zeros(40, dtype=int))
    assert np.isnan(alone.low) and alone.fitted == 0


def test_too_few_fitted_resamples_are_no_interval() -> None:
    """Of five images one turns: a third of the resamples do not span."""
    rates = np.zeros((5, DOSES.size))
    rates[0] = thresholds(1, seed=3)[0]
    found = middle_interval(DOSES, rates, 60, 0, np.arange(5))
    assert found.fitted < 54 and np.isnan(found.low)
