"""Controls and steering vectors: matched within the caliper, not associated, of the features' length."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from core.causal.chosen import called, decision_tests, with_q
from core.causal.controls import CALIPER, LEAST, Control, Traits, least_p, matched_controls
from core.causal.interventions import Ablation, EditSite, Steering
from core.causal.steering import DIFFERENCE, FEATURES, difference_of_means, directions
from core.data.gender_concept import GENDER
from core.features.profile import SEGMENTS, Profile
from core.features.ranking import Ranking
from core.lm.patched import CAPTION, IMAGE, PROMPT
from core.sae.architectures import SparseCode

CHOSEN = [0, 1]
TWINS = range(2, 42)
"""Features as active and strong as the chosen ones."""
ASSOCIATED = range(42, 62)
"""As alike, but associated with gender in one place."""
FEATURES_IN_ALL = 202


def profile(scale: Any = 1.0) -> Profile:
    """Features from 62 on are ever rarer and weaker; `scale` multiplies power [S, L, F]."""
    random = np.random.default_rng(3)
    alike = np.exp(random.normal(0, 0.05, FEATURES_IN_ALL))
    alike[62:] = np.exp(np.linspace(-0.8, -6, FEATURES_IN_ALL - 62))
    rows = np.tile(np.array([[400.0], [100], [300], [20]]), (1, 2))
    rate = np.broadcast_to(0.1 * alike, (4, 2, FEATURES_IN_ALL)).copy()
    return Profile(("en", "ar"), rows, rate, rate * 2, rate * 4 * scale)


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

    def associate(associated: Any, _: Any, language: str, name: str, split: str) -> pl.DataFrame:
        features = np.arange(FEATURES_IN_ALL)
        p = np.full(FEATURES_IN_ALL, 0.5)
        if split == "test":
            p[:] = 1e-9
        for number, feature in enumerate(associated):
            if PLACES[number % len(PLACES)] == (split, language, name):
                p[feature] = 0.03
        return pl.DataFrame({"feature": features, "p": p}, schema_overrides={"feature": pl.UInt32})

    monkeypatch.setattr("core.causal.controls.associate", associate)
    monkeypatch.setattr("core.causal.controls.Labels", SimpleNamespace(of=lambda *_: None))


def view(associated: Any = ASSOCIATED, **changed: Any) -> Any:
    own = {"profile": profile(), "ranking": ranking(), "feature_sums": associated, "samples": None}
    return SimpleNamespace(**{**own, "languages": ("en", "ar"), "concept": GENDER, **changed})


def drawn(control: Control) -> set[int]:
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
    "cells",
    [
        EVERYWHERE,
        [cell for cell in EVERYWHERE if cell[1] == 0],
        [cell for cell in EVERYWHERE if cell[1] == 1],
        # Weaker where the image is, but as strong over all rows.
        [(SEGMENTS.index(IMAGE), 0), (SEGMENTS.index(IMAGE), 1)],
        [(SEGMENTS.index(code), 1) for code in (PROMPT, CAPTION)],
    ],
)
@pytest.mark.parametrize("factor", [1 / 9, 9])
def test_without_a_set_of_the_same_strength_in_a_language_or_part_there_is_no_control(
    cells: Any, factor: float
) -> None:
    others = range(2, FEATURES_IN_ALL)
    assert matched_controls(view(profile=profile(scaled(cells, others, factor))), CHOSEN, 40, seed=0).draws == ()


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
    assert matched_controls(view(profile=silent), CHOSEN, 5, seed=0) == Control((), 0)


def test_traits_are_means_over_rows_and_sums_over_features() -> None:
    """Image rows 400, prompt 100, caption 300, last prompt 20 in each language."""
    own = profile()
    own.rate[:], own.power[:] = 0.0, 0.0
    own.rate[SEGMENTS.index(IMAGE), 0, [4, 5]] = 0.5, 0.1
    own.power[SEGMENTS.index(IMAGE), 0, [4, 5]] = 3.0, 1.0
    own.power[SEGMENTS.index(CAPTION), 1, 4] = 8.0
    found = Traits.of(own, np.array([[4, 5]]))
    np.testing.assert_allclose(found.rate[:, 0], [0.3 * 400 / 820, 0])
    np.testing.assert_allclose(found.contribution[:, 0], [4 * 400 / 820, 8 * 300 / 820])
    np.testing.assert_allclose(found.norm[:, :, 0], [[2, 0], [0, np.sqrt(8 * 300 / 400)]])


def test_a_drawn_set_keeps_within_the_caliper_in_every_trait() -> None:
    random = np.random.default_rng(0)
    uneven = profile(np.exp(random.normal(0, 0.4, (4, 2, FEATURES_IN_ALL))))
    control = matched_controls(view(profile=uneven), CHOSEN, 60, seed=0)
    sets, own = Traits.of(uneven, np.array(control.draws)), Traits.of(uneven, np.array([CHOSEN]))
    for name in ("rate", "contribution", "norm"):
        ratio = getattr(sets, name) / getattr(own, name)
        assert ratio.min() >= 1 / CALIPER - 0.11 and ratio.max() <= CALIPER + 0.11
    assert (sets.contribution / own.contribution).min() >= 1 / CALIPER


class Index:
    """Feature f has ten active rows, one of them special and far stronger; value 1 + f."""

    def csc(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(10), np.array([*[1.0 + feature] * 9, 1000.0])


def steered(features: int = 8) -> Any:
    decoder = torch.nn.functional.normalize(torch.randn(features, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    special = pl.DataFrame({"special": [False] * 9 + [True]})
    sums = np.zeros((2, 6))
    return SimpleNamespace(
        index=Index(),
        table=SimpleNamespace(tokens=special),
        sae=SimpleNamespace(W_dec=decoder),
        ranking=SimpleNamespace(signs=lambda chosen: [1 if feature % 2 == 0 else -1 for feature in chosen]),
        concept=GENDER,
        languages=("en",),
        samples=pl.DataFrame(),
        stream_sums=sums,
        groups=None,
    )


def test_every_comparator_is_as_long_as_the_features_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    difference = torch.tensor([0.0, 3.0, 4.0, 0, 0, 0])
    monkeypatch.setattr("core.causal.steering.difference_of_means", lambda _: difference)
    opened = steered()
    found = directions(opened, [2, 3], Control(((4, 5), (6, 7)), 9), seed=0)
    own = found.vectors[FEATURES]
    torch.testing.assert_close(own, 3 * opened.sae.W_dec[2] - 4 * opened.sae.W_dec[3])
    assert found.quantiles == (3.0, 4.0)
    torch.testing.assert_close(found.vectors[DIFFERENCE], difference / 5 * own.norm())
    assert len(found.random) == 2
    for vector in found.random:
        torch.testing.assert_close(vector.norm(), own.norm())


def test_random_vectors_are_the_drawn_features_with_random_signs() -> None:
    opened = steered()
    opened.stream_sums = None
    control = Control(tuple((4, 5) for _ in range(40)), 9)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("core.causal.steering.difference_of_means", lambda _: None)
        vectors = directions(opened, [2], control, seed=0).random
    same = 5 * opened.sae.W_dec[4] + 6 * opened.sae.W_dec[5]
    cosines = torch.stack([vector @ same / (vector.norm() * same.norm()) for vector in vectors])
    assert (cosines > 0.99).any() and (cosines < -0.99).any() and (cosines.abs() < 0.99).any()


def test_the_difference_of_means_is_taken_on_the_selection_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """In training images the sides differ along axis 0, in test images along 1, in selection images along 2."""
    splits = {"train": 0, "test": 1, "select": 2}
    rows, means = [], []
    for split, axis in splits.items():
        for number in range(12):
            female = number % 2 == 0
            rows.append({"image_id": f"{split}{number}", "split": split, "gender_en": "female" if female else "male"})
            means.append(np.eye(3)[axis] * (1.0 if female else -1.0))
    names = [row["image_id"] for row in rows]
    monkeypatch.setattr("core.causal.steering.stream_means", lambda *_: (names, np.array(means)))
    opened = SimpleNamespace(
        concept=GENDER, languages=("en",), samples=pl.DataFrame(rows), stream_sums=None, groups=None
    )
    found = difference_of_means(opened)  # type: ignore[arg-type]
    assert found is not None
    np.testing.assert_allclose(found, [0, 0, 2])


def test_features_are_called_associated_only_where_they_pass_their_test() -> None:
    tests = [decision_tests(4, ranking())]
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
    tests = [decision_tests(layer, Ranking(GENDER, ("en",), 3, table)) for layer in (1, 2)]
    assert tests[0]["p"].to_list() == [0.4, 0.03]
    features = pl.DataFrame({"layer": [1, 1], "feature": [0, 1]}, schema={"layer": pl.UInt16, "feature": pl.UInt32})
    np.testing.assert_allclose(with_q(features, tests)["q"], [0.4, 0.06])


def site() -> EditSite:
    """Four positions: two of the image, two of a caption; features 0 and 2 are active."""
    code = SparseCode(torch.tensor([[0, 2]] * 4), torch.tensor([[1.0, 5.0], [2, 5], [3, 5], [4, 5]]))
    reach = torch.ones(1, 4, dtype=torch.bool)
    segments = torch.tensor([IMAGE, IMAGE, CAPTION, CAPTION])
    return EditSite(torch.zeros(1, 4, 3), reach, segments, code, torch.eye(3))


def test_ablation_takes_out_the_features_activation_and_puts_the_segments_own_mean() -> None:
    taken = Ablation((0,)).delta(site())
    torch.testing.assert_close(taken, torch.tensor([[-1.0, 0, 0], [-2, 0, 0], [-3, 0, 0], [-4, 0, 0]]))
    replaced = Ablation((0,), replacement={IMAGE: torch.tensor([10.0]), CAPTION: torch.tensor([20.0])}).delta(site())
    torch.testing.assert_close(replaced[:, 0], torch.tensor([9.0, 8, 17, 16]))
    image = Ablation((0,), segments=(IMAGE,)).delta(site())
    torch.testing.assert_close(image[:, 0], torch.tensor([-1.0, -2, 0, 0]))
    torch.testing.assert_close(Steering(torch.tensor([1.0, 2, 3])).delta(site()), torch.tensor([[1.0, 2, 3]] * 4))


def test_a_features_mean_is_that_of_its_language_and_segment() -> None:
    own = profile()
    own.mean[SEGMENTS.index(CAPTION), :, 7] = [3.0, 30.0]
    own.mean[SEGMENTS.index(IMAGE), :, 7] = [4.0, 40.0]
    english, arabic = (own.means([7], language) for language in ("en", "ar"))
    assert (float(english[CAPTION]), float(english[IMAGE])) == (3.0, 4.0)
    assert (float(arabic[CAPTION]), float(arabic[IMAGE])) == (30.0, 40.0)
