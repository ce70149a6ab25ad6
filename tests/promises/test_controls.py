"""Controls and steering vectors: matched within the caliper, not associated, of the features' length."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.causal.controls import CALIPERS, LEAST, RandomSets, Traits, least_p, matched_controls, similar_controls
from core.data.gender_concept import GENDER
from core.features.profile import SEGMENTS, Profile
from core.features.ranking import Ranking
from core.features.significance import called, ranked_tests, with_q
from core.lm.patched import CAPTION, IMAGE, PROMPT

CHOSEN = [0, 1]
TWINS = range(2, 42)
"""Features as active and strong as the chosen ones."""
ASSOCIATED = range(42, 62)
"""As alike, but associated with gender in one place."""
FEATURES_IN_ALL = 202


def profile(scale: Any = 1.0, mean: Any = 1.0) -> Profile:
    """Features from 62 on are ever rarer and weaker; `scale` multiplies power and `mean` means [S, L, F]."""
    random = np.random.default_rng(3)
    alike = np.exp(random.normal(0, 0.05, FEATURES_IN_ALL))
    alike[62:] = np.exp(np.linspace(-0.8, -6, FEATURES_IN_ALL - 62))
    rows = np.tile(np.array([[400.0], [100], [300], [20]]), (1, 2))
    rate = np.broadcast_to(0.1 * alike, (4, 2, FEATURES_IN_ALL)).copy()
    return Profile(("en", "ar"), rows, rate, rate * 2 * mean, rate * 4 * scale)


PLACES = [
    (split, language, name)
    for split in ("train", "select")
    for language in ("en", "ar")
    for name in ("image", "last-prompt", "pre-gender", "first-gendered", "later-gendered")
]


def ranking() -> Ranking:
    """The chosen features are associated on the selection split, others are not."""
    rows = []
    for feature in range(FEATURES_IN_ALL):
        known = feature in CHOSEN
        lean = (0.4 if feature % 2 == 0 else -0.4) if known else 0.05
        row = {"language": "en", "position_set": "last-prompt", "feature": feature, "auroc": 0.5 + lean}
        rows.append({**row, "p": 1e-6 if known else 0.5})
    table = pl.DataFrame(rows).cast({"feature": pl.UInt32, "auroc": pl.Float32})
    return Ranking(GENDER, ("en", "ar"), FEATURES_IN_ALL, table)


@pytest.fixture(autouse=True)
def planted_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each associated feature has a small p in one split, language and position set; on test images all have."""

    def associate(sums: Any, _: Any, language: str, name: str, split: str) -> pl.DataFrame:
        features = np.arange(FEATURES_IN_ALL)
        p = np.full(FEATURES_IN_ALL, 0.5)
        if split == "test":
            p[:] = 1e-9
        for number, feature in enumerate(sums.associated):
            if PLACES[number % len(PLACES)] == (split, language, name):
                p[feature] = 0.03
        return pl.DataFrame({"feature": features, "p": p}, schema_overrides={"feature": pl.UInt32})

    monkeypatch.setattr("core.causal.controls.associate", associate)
    monkeypatch.setattr("core.causal.controls.Labels", SimpleNamespace(of=lambda *_: None))


class Sums:
    """Means before the word are the captions' on selection images, and something else on others."""

    def __init__(self, associated: Any, own: Profile) -> None:
        self.associated, self._own = associated, own

    def by_image(self, language: str, position_set: str) -> Any:
        means = self._own.mean[SEGMENTS.index(CAPTION), self._own.languages.index(language)]
        wrong = np.arange(FEATURES_IN_ALL) * 7.0
        right = position_set == "pre-gender"
        rows = [wrong, means * 0.5 if right else wrong, means * 1.5 if right else wrong]
        return SimpleNamespace(images=["train", "select", "select-too"], means=np.array(rows))


def view(associated: Any = ASSOCIATED, profile: Profile | None = None) -> Any:
    own = profile if profile is not None else plain()
    samples = pl.DataFrame({"image_id": ["train", "select", "select-too"], "split": ["train", "select", "select"]})
    given = {"profile": own, "ranking": ranking(), "feature_sums": Sums(associated, own), "samples": samples}
    return SimpleNamespace(**given, languages=("en", "ar"), concept=GENDER)


plain = profile


def drawn(control: RandomSets) -> set[int]:
    return {feature for features in control.draws for feature in features}


def test_controls_are_the_most_alike_features_that_are_not_associated() -> None:
    control = matched_controls(view(), CHOSEN, 40, seed=0)
    assert len(control.draws) == 40
    assert not drawn(control) & set(ASSOCIATED)
    assert not drawn(control) & set(CHOSEN)
    assert drawn(control) <= set(TWINS)
    assert control.pool == FEATURES_IN_ALL - len(CHOSEN) - len(ASSOCIATED)


def test_sets_are_different_and_hold_no_feature_twice() -> None:
    control = matched_controls(view(), CHOSEN, 100, seed=0)
    assert all(len(set(features)) == len(CHOSEN) for features in control.draws)
    assert len({tuple(sorted(features)) for features in control.draws}) == len(control.draws) == 100


def test_the_draws_follow_the_seed() -> None:
    one, again, other = (matched_controls(view(), CHOSEN, 30, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other


def scaled(cells: Any, features: Any, factor: float) -> Any:
    values = np.ones((4, 2, FEATURES_IN_ALL))
    for segment, language in cells:
        values[segment, language, list(features)] = factor
    return values


EVERYWHERE = [(segment, language) for segment in range(4) for language in range(2)]


@pytest.mark.parametrize(
    "cells", [EVERYWHERE, [c for c in EVERYWHERE if c[1] == 0], [c for c in EVERYWHERE if c[1] == 1]]
)
@pytest.mark.parametrize("factor", [1 / 9, 9])
def test_without_a_set_as_strong_in_each_language_there_is_no_control(cells: Any, factor: float) -> None:
    others = range(2, FEATURES_IN_ALL)
    assert matched_controls(view(profile=profile(scaled(cells, others, factor))), CHOSEN, 40, seed=0).draws == ()


@pytest.mark.parametrize("language", [0, 1])
@pytest.mark.parametrize("segment", [IMAGE, PROMPT, CAPTION])
@pytest.mark.parametrize("factor", [1 / 4, 4])
def test_without_a_set_that_adds_as_much_where_the_word_is_decided_there_is_no_control(
    segment: int, language: int, factor: float
) -> None:
    """Image rows, prompt rows, and caption rows before the word, each in each language."""
    mean = scaled([(SEGMENTS.index(segment), language)], range(2, FEATURES_IN_ALL), factor)
    other = view(profile=profile(mean=mean))
    assert matched_controls(other, CHOSEN, 40, seed=0).draws == ()
    assert len(similar_controls(other, CHOSEN, 40, seed=0).draws) == 40


def test_sets_for_vectors_of_one_length_are_alike_and_not_associated_but_need_no_caliper() -> None:
    found = similar_controls(view(), CHOSEN, 60, seed=0)
    assert len({tuple(sorted(features)) for features in found.draws}) == 60
    assert drawn(found) <= set(TWINS)
    assert found.caliper is None
    assert similar_controls(view(list(range(2, FEATURES_IN_ALL)) * len(PLACES)), CHOSEN, 60, seed=0) == RandomSets(
        (), 0
    )


@pytest.mark.parametrize("language", [0, 1])
@pytest.mark.parametrize("factor", [0.2, 5])
def test_without_a_set_of_the_same_firing_rate_there_is_no_control(language: int, factor: float) -> None:
    own = profile()
    own.rate[:, language, 2:] *= factor
    assert matched_controls(view(profile=own), CHOSEN, 40, seed=0).draws == ()


def test_fewer_sets_than_can_reach_significance_are_no_control() -> None:
    """Six features give fifteen different pairs, fewer than `LEAST`; seven give twenty-one."""
    for free, enough in ((6, False), (7, True)):
        associated = [feature for feature in range(2, FEATURES_IN_ALL) if feature not in range(2, 2 + free)]
        control = matched_controls(view(associated * len(PLACES)), CHOSEN, 40, seed=0)
        assert control.pool == free
        assert bool(control.draws) is enough
    assert LEAST == 19
    assert len(matched_controls(view(associated * len(PLACES)), CHOSEN, 1, seed=0).draws) == 1


def test_a_feature_associated_in_any_split_language_or_position_is_no_control() -> None:
    assert len(ASSOCIATED) == len(PLACES)
    least = least_p(view())
    assert (least[list(ASSOCIATED)] == 0.03).all()
    assert (least[list(TWINS)] == 0.5).all()


def test_silent_features_and_too_small_a_pool_give_no_control() -> None:
    silent = profile()
    silent.rate[:, :, 2:] = 0
    assert matched_controls(view(profile=silent), CHOSEN, 5, seed=0) == RandomSets((), 0)


def test_traits_are_means_over_rows_and_sums_over_features() -> None:
    """Image rows 400, prompt 100, caption 300, last prompt 20 in each language."""
    own = profile()
    for array in (own.rate, own.power, own.mean):
        array[:] = 0.0
    own.rate[SEGMENTS.index(IMAGE), 0, [4, 5]] = 0.5, 0.1
    own.power[SEGMENTS.index(IMAGE), 0, [4, 5]] = 3.0, 1.0
    own.power[SEGMENTS.index(CAPTION), 1, 4] = 8.0
    own.mean[SEGMENTS.index(IMAGE), 0, [4, 5]] = 2.0, 1.0
    own.mean[SEGMENTS.index(PROMPT), 1, 5] = 4.0
    own.mean[SEGMENTS.index(CAPTION), 1, [4, 5]] = 6.0, 1.0
    found = Traits.of_features(view(profile=own)).of_sets(np.array([[4, 5]]))
    np.testing.assert_allclose(found.rate[:, 0], [0.3 * 400 / 820, 0])
    np.testing.assert_allclose(found.contribution[:, 0], [4 * 400 / 820, 8 * 300 / 820])
    np.testing.assert_allclose(found.norm[:, :, 0], [[3, 0], [0, 4], [0, 7]])


def test_drawn_sets_keep_within_the_tightest_caliper_that_has_enough_of_them() -> None:
    assert CALIPERS == (1.25, 1.5, 2.0)
    for stronger, caliper in ((1.0, 1.25), (1.4, 1.5), (1 / 1.4, 1.5), (1.75, 2.0)):
        power = np.exp(np.random.default_rng(0).normal(0, 0.1, (4, 2, FEATURES_IN_ALL)))
        power[:, 0, 2:] *= stronger
        uneven = view(profile=profile(power))
        control = matched_controls(uneven, CHOSEN, 60, seed=0)
        assert (control.caliper, len(control.draws)) == (caliper, 60)
        features = Traits.of_features(uneven)
        sets, own = features.of_sets(np.array(control.draws)), features.of_sets(np.array([CHOSEN]))
        for name in ("rate", "contribution", "norm"):
            ratio = getattr(sets, name) / getattr(own, name)
            assert 1 / caliper - 0.1 <= ratio.min() and ratio.max() <= caliper + 0.1
        assert (sets.contribution / own.contribution).max() <= caliper


def test_where_the_chosen_set_writes_nothing_the_drawn_ones_write_next_to_nothing() -> None:
    image = SEGMENTS.index(IMAGE)
    for written, matched in ((0.0, True), (0.001, True), (0.3, False)):
        own = profile()
        own.mean[image, :, CHOSEN] = 0.0
        own.mean[image, :, 2:] = written
        assert bool(matched_controls(view(profile=own), CHOSEN, 40, seed=0).draws) is matched


def test_features_are_called_associated_only_where_they_pass_their_test() -> None:
    tests = [ranked_tests(4, ranking())]
    features = pl.DataFrame({"layer": [4, 4], "feature": [0, 90]}, schema={"layer": pl.UInt16, "feature": pl.UInt32})
    found = with_q(features, tests)
    assert called(found, GENDER) == "the 2 highest-ranked features, 1 of them associated with gender"
    assert called(found[1:], GENDER) == "the 1 highest-ranked feature, none significant"
    assert called(found[:1], GENDER) == "1 feature associated with gender"
    assert "gender features" not in called(found[1:], GENDER)


def test_features_are_tested_where_they_are_ranked() -> None:
    """A feature that is associated on the word itself alone is no decision feature; p are corrected over layers."""
    table = pl.DataFrame(
        {
            "language": ["en", "en", "en"],
            "position_set": ["first-gendered", "last-prompt", "pre-gender"],
            "feature": [0, 0, 1],
            "auroc": [0.9, 0.6, 0.6],
            "p": [1e-9, 0.4, 0.03],
        },
        schema_overrides={"feature": pl.UInt32},
    )
    tests = [ranked_tests(layer, Ranking(GENDER, ("en",), 3, table)) for layer in (1, 2)]
    assert tests[0]["p"].to_list() == [0.4, 0.03]
    features = pl.DataFrame({"layer": [1, 1], "feature": [0, 1]}, schema={"layer": pl.UInt16, "feature": pl.UInt32})
    np.testing.assert_allclose(with_q(features, tests)["q"], [0.4, 0.06])
