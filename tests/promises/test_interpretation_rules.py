"""Rules are made without test images and scored on them, image by image, language by language."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from core.analysis.interpretation.explaining import Explainer
from core.stats.enrichment import balanced_accuracy, enrich
from tests.core.features.planted_world import Index
from tests.promises.interpretation_world import inputs_of, samples_of, third

Row = tuple[str, str, str, float]
"""Image, language, word, activation."""


def read(
    rows: list[Row], samples: pl.DataFrame, others: list[list[float]] | None = None, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Explanations of feature 0, which has the rows' activations, and of further features."""
    tokens = pl.DataFrame(
        {
            "sample_id": [row[0] for row in rows],
            "image_id": [row[0][:4] for row in rows],
            "language": [row[1] for row in rows],
            "segment": ["prompt" if row[2].startswith("[") else "caption" for row in rows],
            "token": [f"▁{row[2]}" for row in rows],
            "special": [row[2] == "<end>" for row in rows],
        }
    )
    columns = [[row[3] for row in rows], *(others or [])]
    index: Any = Index(sparse.csr_array(np.array(columns, dtype=np.float32).T))
    return Explainer(tokens, inputs_of(samples, seed)).explain(index, list(range(len(columns))))


def test_rules_are_made_without_test_images_and_scored_on_them() -> None:
    samples = samples_of(60, lambda n: "test" if n < 40 else "train")
    rows = []
    for number, image in enumerate(samples["image_id"]):
        spoken = "beta" if number < 40 else "alpha"
        rows += [(image, "en", word, float(word == spoken)) for word in ("alpha", "beta", "gamma")]
    enriched, explained, scores = read(rows, samples)
    assert explained["explanation"].to_list() == ["tokens ‹alpha›"]
    assert explained["score"][0] < 0.5 and scores.filter(language="en")["score"][0] < 0.5
    assert enriched.filter(attribute="token", value="alpha")["total"].to_list() == [20]


def test_a_rule_is_taken_for_what_it_tells_on_the_images_it_is_made_of() -> None:
    """On test images the token would tell more; it is not asked there."""
    place = ["park" if n % 2 else "street" for n in range(60)]
    samples = samples_of(60, lambda n: "test" if n >= 40 else "train", place=place)
    rows = []
    for number, image in enumerate(samples["image_id"]):
        held = number >= 40
        for word in ("alpha", "beta"):
            active = word == "alpha" if held else place[number] == "park" and (word == "alpha" or number % 4 == 1)
            rows.append((image, "en", word, float(active)))
    _, explained, _ = read(rows, samples)
    assert explained["kind"].to_list() == ["place"]


def test_attributes_are_counted_without_test_images_and_the_strongest_quarter_is_theirs() -> None:
    place = ["park" if n % 4 == 0 else "street" for n in range(80)]
    samples = samples_of(80, lambda n: "test" if n >= 40 else "train", place=place)
    rows = [(f"i{n:03d}", "en", "w", 9.0 if n >= 40 else 2.0 if n % 4 == 0 else n / 1e3) for n in range(80)]
    enriched, _, _ = read(rows, samples)
    park = enriched.filter(attribute="place", value="park").row(0, named=True)
    assert (park["active"], park["total"]) == (10, 10)
    assert enriched.filter(attribute="place", value="street")["active"].to_list() == [0]


def test_an_image_counts_by_its_mean_over_rows_not_by_its_length() -> None:
    place = ["park" if n % 4 == 0 else "street" for n in range(80)]
    samples = samples_of(80, third, place=place)
    rows = []
    for number, image in enumerate(samples["image_id"]):
        count, value = (2, 1.0) if number % 4 == 0 else (20, 0.3)
        rows += [(image, "en", f"w{n}", value + number / 1e4) for n in range(count)]
    enriched, _, _ = read(rows, samples)
    strongest = enriched.filter(attribute="place").sort("z", descending=True)
    assert strongest["value"][0] == "park" and strongest["z"][0] > 1.96


def captions(images: range, rng: np.random.Generator) -> dict[int, list[tuple[str, float]]]:
    return {n: [(f"w{w}", float((w == n % 2) != (rng.random() < 0.2))) for w in range(4)] for n in images}


def test_twins_are_one_unit() -> None:
    """A world in which every image has a twin that is its copy knows no more than the world without the copies."""
    said = captions(range(90), np.random.default_rng(0))
    single = samples_of(90, third)
    twins = samples_of(180, lambda n: third(n // 2), twin_id=[f"i{n ^ 1:03d}" for n in range(180)])
    alone = [(f"i{n:03d}", "en", word, value) for n, words in said.items() for word, value in words]
    doubled = [
        (f"i{2 * n + copy:03d}", "en", word, value)
        for n, words in said.items()
        for copy in (0, 1)
        for word, value in words
    ]
    ends = [read(rows, samples)[1].row(0, named=True) for rows, samples in ((alone, single), (doubled, twins))]
    for name in ("score", "low", "high"):
        assert ends[0][name] == pytest.approx(ends[1][name])
    assert ends[0]["low"] < ends[0]["score"] < ends[0]["high"]


def test_intervals_of_twins_cover_and_those_of_their_images_would_not() -> None:
    rng = np.random.default_rng(4)
    hits = {"unit": 0, "image": 0}
    runs, pairs = 300, 40
    for _ in range(runs):
        active = np.repeat(rng.random(pairs) < 0.5, 2)
        predicted = np.where(np.repeat(rng.random(pairs) < 0.7, 2), active, ~active)
        for name, units in (("unit", np.arange(2 * pairs) // 2), ("image", np.arange(2 * pairs))):
            found = balanced_accuracy(predicted, active, units, 300, 1)
            hits[name] += found.low <= 0.7 <= found.high
    assert hits["unit"] / runs > 0.91
    assert hits["image"] / runs < 0.88


def test_several_captions_of_an_image_count_as_one() -> None:
    said = captions(range(60), np.random.default_rng(1))
    samples = samples_of(60, third)
    once = [(f"i{n:03d}", "en", word, value) for n, words in said.items() for word, value in words]
    often = [
        (f"i{n:03d}-{copy}", "en", word, value)
        for n, words in said.items()
        for copy in range(5 if n < 12 else 1)
        for word, value in words
    ]
    first, second = read(once, samples), read(often, samples)
    assert first[1].row(0)[3:6] == pytest.approx(second[1].row(0)[3:6])
    z = [found[0].filter(attribute="token").sort("value")["z"].to_list() for found in (first, second)]
    assert z[0] == pytest.approx(z[1])


def test_special_rows_count_nowhere_and_prompt_rows_in_no_tokens() -> None:
    place = ["park" if n % 4 == 0 else "street" for n in range(80)]
    samples = samples_of(80, third, place=place)
    said = [("alpha", 1.0), ("beta", 0.0), ("gamma", 0.0)]
    rows = [(image, "en", word, value) for image in samples["image_id"] for word, value in said]
    marked = [(image, "en", "<end>", 90.0 * (n % 4)) for n, image in enumerate(samples["image_id"])]
    asked = [(image, "en", "[describe", 5.0 * (n % 4 == 0)) for n, image in enumerate(samples["image_id"])]
    enriched, explained, _ = read(rows + marked + asked, samples)
    tokens = enriched.filter(attribute="token")
    assert set(tokens["value"]) == {"alpha", "beta", "gamma"}
    assert explained["explanation"].to_list() == ["tokens ‹alpha›"]
    parks = enriched.filter(attribute="place", value="park").row(0, named=True)
    assert parks["active"] == parks["total"] > 0


def test_the_control_is_what_the_other_features_explanations_reach() -> None:
    samples = samples_of(60, third)
    words = ("alpha", "beta", "gamma", "delta")
    rows = [(image, "en", word, float(word == "alpha")) for image in samples["image_id"] for word in words]
    others = [[float(row[2] == name) for row in rows] for name in ("beta", "gamma")]
    _, explained, scores = read(rows, samples, others)
    assert explained["score"].to_list() == [1, 1, 1]
    assert explained["control"].to_list() == pytest.approx([1 / 3] * 3)
    assert scores.filter(language="en")["control"].to_list() == pytest.approx([1 / 3] * 3)
    assert read(rows, samples)[1]["control"].to_list() == [None]


def test_explanations_are_scored_in_each_language_by_itself() -> None:
    samples = samples_of(60, third)
    rng = np.random.default_rng(2)
    rows = [
        (image, language, word, float(word == "alpha" if language == "en" else rng.random() < 0.5))
        for image in samples["image_id"]
        for language in ("en", "ar")
        for word in ("alpha", "beta", "gamma", "delta")
    ]
    scores = dict(read(rows, samples)[2].select("language", "score").iter_rows())
    assert scores["en"] == 1
    assert scores["ar"] < 0.7


def test_resamples_are_drawn_from_the_studys_seed() -> None:
    said = captions(range(60), np.random.default_rng(1))
    rows = [(f"i{n:03d}", "en", word, value) for n, words in said.items() for word, value in words]
    first, again, other = (read(rows, samples_of(60, third), seed=seed)[1].row(0) for seed in (0, 0, 5))
    assert first == again
    assert first[3] == other[3] and first[4:6] != other[4:6]


def test_rare_values_are_shrunk_by_a_prior_of_ten_observations() -> None:
    found = enrich(np.array([0] * 50 + [1] * 50 + [2]), np.array([True] * 10 + [False] * 90 + [True]), 3)
    prior = 10 * np.array([50, 50, 1]) / 101
    odds = [np.log((c[2] + prior[2]) / (c.sum() + 10 - c[2] - prior[2])) for c in (np.array([10, 0, 1]), np.array(
        [40, 50, 0]))]  # fmt: skip
    assert found.log_odds[2] == pytest.approx(odds[0] - odds[1])
