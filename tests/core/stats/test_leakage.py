"""LIC: above 0 where a model's other words tell more of the side than the data's own."""

import numpy as np
import pytest

from core.stats.leakage import UNKNOWN, Leakage, bags, folds_of, leakage, leaked

N = 80
SIDE = np.arange(N) % 2 == 0
UNITS = np.arange(N) // 2  # twins on opposite sides


def captions(told: float, seed: int) -> list[tuple[str, ...]]:
    """A place in each caption, which follows the side in some."""
    rng = np.random.default_rng(seed)
    random = rng.choice(["kitchen", "garage"], N)
    places = np.where(rng.random(N) < told, np.where(SIDE, "kitchen", "garage"), random)
    return [("a", "person", "in", "the", str(place), f"word{number % 7}") for number, place in enumerate(places)]


def measured(model: float, data: float, seed: int = 0) -> Leakage:
    found = leakage((captions(model, seed), captions(data, seed + 100)), SIDE, UNITS, 19, 0)
    assert found is not None
    return found


def test_a_model_whose_places_follow_the_side_leaks_more_than_the_data() -> None:
    found = measured(1.0, 0.2)
    assert found.model > 0.8 > found.data and found.lic.value == pytest.approx(found.model - found.data)
    assert found.lic.low > 0 and found.lic.p == pytest.approx(0.05)
    assert max(found.shuffled) < 0.55


def test_the_same_captions_leak_the_same() -> None:
    own = captions(0.5, 3)
    found = leakage((own, own), SIDE, UNITS, 9, 0)
    assert found is not None and found.lic.value == 0 == found.lic.high and (found.lic.null == 0).all()


def test_captions_that_leak_much_and_alike_do_not_leak_more_than_each_other() -> None:
    found = [measured(0.8, 0.8, seed) for seed in range(1, 13)]
    assert all(one.model > 0.5 and one.data > 0.5 for one in found)
    assert sum(one.lic.p <= 0.05 for one in found) <= 2
    assert sum(not one.lic.low <= 0 <= one.lic.high for one in found) <= 2


def test_leakage_is_the_confidence_in_the_side_where_it_is_named() -> None:
    x = np.where(SIDE, 1.0, 0.0)[:, None]
    folds = folds_of(SIDE, UNITS, 0)
    assert (leaked(x, SIDE, folds) > 0.5).all()
    assert (leaked(1 - x, ~SIDE, folds) > 0.5).all()
    scores = leaked(np.zeros((N, 1)), SIDE, folds)
    assert scores.max() <= 0.55


def test_a_caption_is_scored_by_a_classifier_that_has_not_seen_its_unit() -> None:
    folds = folds_of(SIDE, UNITS, 0)
    assert all(np.unique(folds[unit == UNITS]).size == 1 for unit in range(N // 2)) and set(folds) == set(range(5))
    assert leaked(np.eye(N), SIDE, folds).max() < 0.56  # a word of its own in each caption tells nothing of another
    twins = np.repeat(np.eye(N // 2), 2, axis=0)
    assert leaked(twins, UNITS % 2 == 0, folds_of(UNITS % 2 == 0, UNITS, 0)).max() < 0.56


def test_words_that_the_model_never_writes_are_one_unknown_word() -> None:
    found = bags([("kitchen", "spatula"), ("ladle",), ()], ["kitchen"])
    assert found.tolist() == [[1, 1], [0, 1], [0, 0]]
    data = [(f"rare{number}" if side else "kitchen",) for number, side in enumerate(SIDE)]
    found_out = leakage(([("kitchen",)] * N, data), SIDE, UNITS, 9, 0)
    assert found_out is not None and found_out.data > 0.8  # every rare word is the one unknown word, which tells
    assert len(UNKNOWN) == 1


def test_few_images_of_a_side_are_not_measured() -> None:
    few = np.zeros(N, dtype=bool)
    few[:8] = True
    assert leakage((captions(1, 0), captions(1, 1)), few, np.arange(N), 9, 0) is None
