"""Directional bias amplification, beside a count by hand of Wang & Russakovsky's equation."""

import numpy as np
import pytest

from core.stats.bias_amplification import Told, directional, directional_amplification

ONCE = np.ones((1, 8))


def told(model: list[int]) -> Told:
    """Eight images, the first four in a kitchen; the data tell women in three of them and in one outside."""
    kitchen = np.array([1, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
    data, said = np.array([1, 1, 1, 0, 1, 0, 0, 0], dtype=bool), np.array(model, dtype=bool)
    return Told(np.stack([kitchen, ~kitchen], axis=1), np.stack([data, ~data], axis=1), np.stack([said, ~said], axis=1))


def test_a_model_that_always_follows_the_lean_amplifies_it_by_a_quarter() -> None:
    # P(woman | kitchen) goes from 3/4 to 1, P(man | kitchen) from 1/4 to 0, outside likewise: each of the four moves
    # by ¼ to the side on which it already leans.
    assert directional(told([1, 1, 1, 1, 0, 0, 0, 0]), ONCE)[0] == pytest.approx(0.25)
    assert directional(told([1, 1, 0, 0, 1, 1, 0, 0]), ONCE)[0] == pytest.approx(-0.25)
    assert directional(told([1, 1, 1, 0, 1, 0, 0, 0]), ONCE)[0] == 0


def test_what_is_independent_in_the_data_has_no_lean_to_amplify() -> None:
    half = np.array([1, 1, 0, 0, 1, 1, 0, 0], dtype=bool)
    kitchen = np.array([1, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
    one = Told(kitchen[:, None], half[:, None], kitchen[:, None])
    assert np.isnan(directional(one, ONCE)[0])
    assert directional_amplification(one, np.arange(8), (50, 19), 0) is None


def many(follows: float, seed: int = 0) -> Told:
    """Four places whose data tell women at 15 to 85 %; the model follows the more frequent side in some images."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 4, 400)
    rate = np.array([0.15, 0.3, 0.7, 0.85])[place]
    data, other = rng.random(400) < rate, rng.random(400) < rate
    model = np.where(rng.random(400) < follows, rate > 0.5, other)
    return Told(place[:, None] == np.arange(4), np.stack([data, ~data], axis=1), np.stack([model, ~model], axis=1))


def test_amplification_is_beyond_exchanged_captions_and_its_absence_is_not() -> None:
    found = directional_amplification(many(0.8), np.arange(400), (200, 99), 0)
    assert found is not None and found.low > 0.05 and found.p == pytest.approx(0.01)
    none = [directional_amplification(many(0, seed), np.arange(400), (50, 99), 0) for seed in range(20)]
    assert sum(one is not None and one.p <= 0.05 for one in none) <= 3


def test_units_are_exchanged_as_a_whole() -> None:
    one = many(0.8)
    swapped = one.exchanged(np.ones(400, dtype=bool))
    assert (swapped.data == one.model).all() and (swapped.model == one.data).all()
    alone = directional_amplification(one, np.zeros(400, dtype=np.int64), (50, 19), 0)
    assert alone is not None and np.isnan(alone.low)
