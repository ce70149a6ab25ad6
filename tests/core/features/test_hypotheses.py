"""A planted attribute leads, what goes with it is told apart from what adds to it, and noise has no label."""

import numpy as np
import polars as pl

from core.features.breakdown import MEANS, Drawing
from core.features.hypotheses import hypotheses

N = 300
FEW = Drawing(draws=199)


def samples() -> pl.DataFrame:
    """Nine images in ten at the beach are sunny, one in ten elsewhere; the mood goes with neither."""
    rng = np.random.default_rng(0)
    beach = rng.random(N) < 0.4
    sunny = rng.random(N) < np.where(beach, 0.9, 0.1)
    return pl.DataFrame(
        {
            "sample_id": [f"{n:03d}" for n in range(N)],
            "image_id": [f"i{n:03d}" for n in range(N)],
            "place": np.where(beach, "beach", rng.choice(["park", "street"], N)),
            "weather": np.where(sunny, "sun", "rain"),
            "mood": rng.choice(["calm", "glad", "sad"], N),
        }
    )


def means(values: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"image_id": [f"i{n:03d}" for n in range(N)], "value": values}, schema=MEANS)


def test_a_planted_attribute_is_named_and_what_only_goes_with_it_is_not() -> None:
    own, noise = samples(), np.random.default_rng(1).random(N)
    found = hypotheses(means((own["place"] == "beach").to_numpy() + noise), own, FEW)
    assert found.label == "place: beach"
    assert found.spreads.filter(attribute="weather")["q"][0] < 0.05, "by itself it goes with the feature"
    assert "weather" in found.beyond["attribute"] and found.also == ()


def test_what_adds_to_the_leading_attribute_is_told() -> None:
    own, noise = samples(), np.random.default_rng(2).random(N)
    both = 2.0 * (own["place"] == "beach").to_numpy() + (own["weather"] == "sun").to_numpy()
    found = hypotheses(means(both + noise), own, FEW)
    assert found.leading == "place" and found.also == ("weather",)


def test_three_planted_features_are_named_and_random_ones_are_not() -> None:
    own, rng = samples(), np.random.default_rng(3)
    for attribute, value in (("place", "park"), ("weather", "rain"), ("mood", "glad")):
        planted = (own[attribute] == value).to_numpy() * (rng.random(N) < 0.9) + 0.3 * rng.random(N)
        assert hypotheses(means(planted), own, FEW).label == f"{attribute}: {value}"
    labels = [hypotheses(means(rng.random(N) * (rng.random(N) < 0.2)), own, FEW).label for _ in range(40)]
    assert sum(label is not None for label in labels) <= 5  # 2 expected at a false discovery rate of 5 %


def test_a_feature_that_never_fires_has_no_hypothesis() -> None:
    found = hypotheses(means(np.zeros(N)), samples(), FEW)
    assert found.label is None and found.spreads.is_empty()
