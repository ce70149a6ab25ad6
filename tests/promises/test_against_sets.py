"""A chosen set against random sets: two-sided, never below the resolution, over sets and images alike."""

import numpy as np
import polars as pl
import pytest

from core.stats.against_sets import against_sets
from core.stats.permuted import rank_p, sign_flip_p
from core.stats.picking import of_layers, picked_layer


def test_a_rank_is_never_below_what_the_sets_can_resolve() -> None:
    assert rank_p(100.0, np.linspace(-1, 1, 19)) == pytest.approx(1 / 20)
    assert rank_p(-100.0, np.linspace(-1, 1, 19)) == pytest.approx(1 / 20)


def test_p_carries_the_images_as_the_interval_does() -> None:
    """Sets that hardly vary, an effect that hangs on some images: 0.03 [-0.03, 0.09] is not significant."""
    random = np.random.default_rng(1)
    own = random.normal(0, 1, 32)
    own = 0.03 + 0.17 * (own - own.mean()) / own.std()
    sets = random.normal(0, 1e-4, (100, 32))
    found = against_sets(own, sets, 1000, 0)
    assert rank_p(float(own.mean()), sets.mean(axis=1)) <= 0.02
    assert 0.2 < found.p < 0.5


def test_p_carries_the_sets_as_well() -> None:
    """The effect is the same on every image, but every second random set's is as large."""
    sets = np.repeat(np.linspace(-2, 2, 40)[:, None], 30, axis=1)
    own = np.full(30, 1.0)
    assert sign_flip_p(own, 1000, 0) < 0.002
    assert against_sets(own, sets, 1000, 0).p > 0.3


def test_false_positives_are_at_most_five_percent() -> None:
    """Sets and images both vary; the chosen set is one of them by chance."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(200):
        values = random.normal(0, 0.3, (40, 1)) + random.normal(0, 1, (40, 24)) + random.normal(0, 0.5, 24)
        found.append(against_sets(values[0], values[1:], 300, 0).p)
    assert np.mean(np.array(found) <= 0.05) <= 0.08


def test_signs_are_flipped_by_unit_and_few_units_are_enumerated() -> None:
    assert sign_flip_p(np.ones(4), 1000, 0) == pytest.approx(2 / 16)
    assert sign_flip_p(np.ones(8), 1000, 0, np.repeat(np.arange(4), 2)) == pytest.approx(2 / 16)
    assert sign_flip_p(np.array([1.0, -1, 1, -1]), 1000, 0, np.array([0, 0, 1, 1])) == 1.0
    many = np.ones(30)
    assert sign_flip_p(many, 99, 0) == pytest.approx(1 / 100)


def test_the_layer_is_picked_by_the_selection_splits_association() -> None:
    features = pl.DataFrame({"layer": [3, 3, 1, 2], "association": [0.3, 0.3, 0.3, 0.1]})
    assert picked_layer(features) == 1
    assert "selection split" in of_layers(3, "gender") and of_layers(1, "gender") == ""
