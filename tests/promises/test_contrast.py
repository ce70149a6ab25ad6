"""Interventions across languages: vectors of one language's selection images, one added norm, shares of sums."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from core.analysis.contrast import Interventions
from core.analysis.contrast.interventions import _Found
from core.analysis.contrast.steered import OWN, RESPONSES, Steered, _Target
from core.analysis.contrast.steered_table import steered_table
from core.analysis.contrast.vectors import DIFFERENCE, FEATURES, Vectors, vectors_of
from core.data.gender_concept import GENDER
from core.features.ranking import Ranking
from core.stats.estimate import Estimate
from tests.promises.test_ablation import IMAGES, resampling

Ways = dict[tuple[str, str], float]


def responses(effects: Ways, draws: int = 100, noise: float = 0.05, seed: int = 0) -> pl.DataFrame:
    """Two captions per image around the effect of a way; random vectors around 0."""
    rng, rows = np.random.default_rng(seed), []
    for (source, target), effect in effects.items():
        for draw in range(OWN, draws):
            spread = effect if draw == OWN else 0.1 * rng.standard_normal()
            for image in IMAGES:
                values = spread + noise * rng.standard_normal(2)
                rows += [(source, target, FEATURES, draw, image, float(value)) for value in values]
    return pl.DataFrame(rows, schema=RESPONSES, orient="row")


def steered(found: pl.DataFrame) -> Steered:
    own = {
        name: Vectors(name, (1, number), {FEATURES: torch.eye(3)[number]}, {})
        for number, name in enumerate(("en", "ar"))
    }
    return Steered(4, "", found, own, {}, ())


def table(found: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    return steered_table(steered(found), resampling(IMAGES, seed=seed), 0.2)


def row(found: pl.DataFrame, source: str, target: str) -> dict[str, Any]:
    return found.filter(source=source, target=target).row(0, named=True)


WAYS = {("en", "en"): 2.0, ("ar", "ar"): 1.0, ("en", "ar"): 0.5, ("ar", "en"): 0.0}


def estimates(found: pl.DataFrame) -> dict[str, Estimate]:
    inputs: Any = SimpleNamespace(counted="images")
    own = _Found(inputs, Interventions(), steered(found), table(found)).estimates()
    return {one.name: one for one in own}


def test_a_share_is_of_the_effect_of_the_captions_own_language() -> None:
    found = table(responses(WAYS))
    one = row(found, "en", "ar")
    assert one["share"] == pytest.approx(0.5, abs=0.03) and one["share_low"] < one["share"] < one["share_high"]
    assert one["share_control"] == pytest.approx(one["control"] / 1.0, abs=0.03)
    assert row(found, "ar", "en")["share"] == pytest.approx(0, abs=0.03)
    assert found.filter(pl.col("source") == pl.col("target"))["share"].is_null().all()


def test_there_is_no_share_of_nothing() -> None:
    found = table(responses({**WAYS, ("ar", "ar"): 0.0}))
    assert row(found, "en", "ar")["share"] is None and row(found, "en", "ar")["effect"] > 0.4
    assert "steered_share.features.en-ar" not in estimates(responses({**WAYS, ("ar", "ar"): 0.0}))


def test_what_carries_over_is_found_and_what_does_not_is_not() -> None:
    told = estimates(responses(WAYS))
    assert told["steered.features.en-ar"].verdict == "found" == told["steered_share.features.en-ar"].verdict
    assert told["steered.features.ar-en"].verdict == "not found" == told["steered_share.features.ar-en"].verdict
    one = told["steered.features.en-ar"]
    assert (one.p, one.draws) == (pytest.approx(1 / 101), 100) and one.q == pytest.approx(2 / 101)
    assert not any(each.answers for each in told.values())


def test_within_a_language_is_a_family_of_its_own() -> None:
    found = table(responses(WAYS))
    within = found.filter(pl.col("source") == pl.col("target"))
    assert within["q"].to_list() == pytest.approx([1 / 101] * 2)  # two of two; across, one of two: 2 / 101


def test_images_are_the_units_and_their_captions_are_averaged() -> None:
    assert row(table(responses(WAYS)), "en", "ar")["images"] == len(IMAGES)


def test_labels_shuffled_by_image_are_found_nowhere() -> None:
    """Effects whose sign is the image's own: on average nothing."""
    hits = 0
    for seed in range(8):
        clean = responses(WAYS, seed=seed)
        signs = dict(zip(IMAGES, np.random.default_rng(seed).choice([-1.0, 1.0], len(IMAGES)).tolist(), strict=True))
        turned = pl.col("effect") * pl.col("image_id").replace_strict(signs, return_dtype=pl.Float64)
        found = estimates(clean.with_columns(turned.alias("effect")))
        hits += any(one.verdict == "found" for one in found.values())
    assert hits <= 1


class Runs:
    """Log-odds along axis 0, with a part that answers to any change, whatever its sign."""

    def sites(self, _: Any) -> list[Any]:
        norms = torch.tensor([1.0, 4.0])
        return [SimpleNamespace(stream=torch.zeros(1), segments=torch.zeros(2, dtype=torch.int64), norms=lambda: norms)]

    def patched(self, _layer: int, sites: Any, patch: Any) -> np.ndarray:
        (delta,) = (patch.delta(site) for site in sites)
        return np.full(3, 2.0 * float(delta[0, 0]) + float(delta.norm()))


def test_every_vector_has_one_added_norm_and_even_responses_fall_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.analysis.contrast.steered.PairRuns", lambda *_: Runs())
    closed: Any = SimpleNamespace(layer=4)
    target = _Target(closed, closed, [], closed)
    length = 0.2 / np.mean([1.0, 0.25])  # ‖v‖ · mean(1 / ‖x‖) = 0.2
    for vector in (torch.tensor([1.0, 0, 0]), torch.tensor([50.0, 0, 0])):
        assert target.effect(vector, 0.2) == pytest.approx(np.full(3, 2 * length))
    assert target.effect(torch.tensor([0.0, 3, 0]), 0.2) == pytest.approx(np.zeros(3))


SPLITS = {"train": 0, "test": 1, "select": 2}


def view(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sides differ along axis 0 in training images, 1 in test images; in selection images along 2 in English, 3 in
    Arabic. Along 4 images vary within sides. Feature 0 is of English, 1 of Arabic."""
    rng, rows, means = np.random.default_rng(0), [], {"en": [], "ar": []}
    for split, axis in SPLITS.items():
        for number in range(12):
            side = 1.0 if number % 2 == 0 else -1.0
            name = "female" if side > 0 else "male"
            rows.append({"image_id": f"{split}{number}", "split": split, "gender_en": name, "gender_ar": name})
            for language, own in means.items():
                moved = np.eye(5)[axis + (axis == 2 and language == "ar")]
                own.append(side * moved + rng.normal() * np.eye(5)[4])
    names = [one["image_id"] for one in rows]
    monkeypatch.setattr(
        "core.analysis.contrast.vectors.stream_means", lambda _s, _g, language, _p: (names, np.array(means[language]))
    )
    sets = [
        {"language": language, "position_set": "last-prompt", "feature": feature, "auroc": 0.9, "p": 0.001}
        for feature, language in enumerate(("en", "ar"))
    ]
    ranking = Ranking(GENDER, ("en", "ar"), 4, pl.DataFrame(sets))
    decoder = SimpleNamespace(W_dec=torch.eye(5)[:4])
    monkeypatch.setattr("core.causal.steering.upper_quantile", lambda *_: 1.0)
    monkeypatch.setattr(
        "core.analysis.contrast.vectors.similar_controls", lambda *_: SimpleNamespace(draws=((2,), (3,)))
    )
    monkeypatch.setattr(
        "core.analysis.contrast.vectors.from_covariance", lambda _v, draws, *_: (torch.ones(5),) * draws
    )
    groups = SimpleNamespace(shared_sets=frozenset())
    return SimpleNamespace(
        layer=4,
        concept=GENDER,
        samples=pl.DataFrame(rows),
        languages=("en", "ar"),
        stream_sums=None,
        groups=groups,
        ranking=ranking,
        sae=decoder,
    )


def test_vectors_are_fitted_on_selection_images_of_their_language_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = view(monkeypatch)
    for number, language in enumerate(("en", "ar")):
        found = vectors_of(opened, language, 1, 50, 0)
        assert found.features == (number,) and float(found.own[FEATURES][number]) == 1.0
        along = found.own[DIFFERENCE]
        assert int(along[:4].abs().argmax()) == 2 + number and float(along[2 + number]) == pytest.approx(2)
        assert float(along[[0, 1, 3 - number]].abs().max()) < 1e-6


def test_a_set_with_the_same_rows_in_every_language_is_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = view(monkeypatch)
    opened.groups = SimpleNamespace(shared_sets=frozenset(GENDER.decision_sets) | {GENDER.positions.first})
    assert DIFFERENCE not in vectors_of(opened, "en", 1, 50, 0).own
