"""Amplification: the dose is chosen on selection images, slopes and rates are scored on test ones, two-sided."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.amplification.dose_response import (
    SLOPES,
    by_image,
    corrected,
    response_schema,
    slopes_at_zero,
    summarise_responses,
    summarise_slopes,
)
from core.analysis.amplification.findings import estimates
from core.analysis.amplification.rates import chosen_dose, rate_at, rates_schema
from core.analysis.amplification.rates import corrected as corrected_rates
from core.data.gender_concept import GENDER
from tests.promises.test_ablation import resampling

IMAGES = [f"i{number:02d}" for number in range(20)]


def responses(
    odds: dict[float, Any], language: str = "en", vector: str = "features", ce: float = 1.0, norm: float = 0.2
) -> pl.DataFrame:
    """log odds by dose: one value, or one an image; ‖Δx‖/‖x‖ is `norm` at dose 1."""
    rows = []
    for dose, values in odds.items():
        for image, value in zip(IMAGES, np.broadcast_to(values, len(IMAGES)), strict=True):
            row = {"language": language, "vector": vector, "dose": dose, "image_id": image, "sample_id": image}
            found = {"log_odds": float(value), "caption_ce": ce + dose, "relative_norm": abs(norm * dose)}
            rows.append({**row, **found})
    return pl.DataFrame(rows)


def random_slopes(slopes: Any, language: str = "en") -> pl.DataFrame:
    rows = [(language, draw, image, float(slope)) for draw, slope in enumerate(slopes) for image in IMAGES]
    return pl.DataFrame(rows, schema=["language", "draw", "image_id", "slope"], orient="row")


def random_odds(odds: Any) -> pl.DataFrame:
    rows = [("en", draw, image, float(value)) for draw, value in enumerate(odds) for image in IMAGES]
    return pl.DataFrame(rows, schema=["language", "draw", "image_id", "log_odds"], orient="row")


def test_the_slope_is_taken_at_dose_0_between_the_nearest_doses() -> None:
    doses = np.array([-4, -1, 0, 1, 4.0])
    np.testing.assert_allclose(slopes_at_zero(doses, np.array([[9, -2, 0, 2, 9], [0, 1, 1, 1, 0.0]])), [2, 0])


def test_slopes_are_compared_two_sided_and_never_below_the_resolution() -> None:
    for sign in (1, -1):
        found = responses({-1.0: -2.0 * sign, 0.0: 0, 1.0: 2.0 * sign})
        table = summarise_slopes(3, found, random_slopes(np.linspace(-1, 1, 39)), resampling(IMAGES))
        row = table.row(0, named=True)
        assert row["slope"] == pytest.approx(2.0 * sign)
        assert row["p"] == pytest.approx(1 / 40)
        assert (row["draws"], row["images"]) == (39, 20)


def test_a_slope_that_hangs_on_some_images_is_not_significant() -> None:
    random = np.random.default_rng(0)
    uneven = random.normal(0, 1, 20)
    uneven = 0.1 + (uneven - uneven.mean()) / uneven.std()
    found = responses({-1.0: -uneven, 0.0: 0, 1.0: uneven})
    row = summarise_slopes(3, found, random_slopes(np.linspace(-1e-3, 1e-3, 99)), resampling(IMAGES)).row(0, named=True)
    assert row["low"] < 0 < row["high"]
    assert row["p"] > 0.3


def test_random_slopes_of_another_language_are_no_control() -> None:
    found = responses({-1.0: -1, 1.0: 1})
    random = pl.concat([random_slopes(np.full(39, 0.1)), random_slopes(np.full(39, 50.0), "ar")])
    row = summarise_slopes(3, found, random, resampling(IMAGES)).row(0, named=True)
    assert row["control"] == pytest.approx(0.1)
    assert row["draws"] == 39


def test_captions_of_an_image_are_averaged_first() -> None:
    one = responses({0.0: np.arange(20) - 9.5})
    extra = one.filter(image_id="i00").with_columns(pl.lit(20.5).alias("log_odds"), pl.lit("b").alias("sample_id"))
    means = by_image(pl.concat([one, extra]))
    first = means.filter(image_id="i00").row(0, named=True)
    assert means.height == 20
    assert (first["log_odds"], first["first_side"]) == (5.5, 0.5)
    table = summarise_responses(3, pl.concat([one, extra]), resampling(IMAGES))
    assert table["images"].item() == 20
    assert table["log_odds"].item() == pytest.approx(15 / 20)
    assert table["female_rate"].item() == pytest.approx(10.5 / 20)
    assert table.schema == response_schema(GENDER)


def test_the_dose_is_the_best_upward_one_in_range_and_the_least_of_equals() -> None:
    half = np.where(np.arange(20) < 10, 1.0, -1.0)
    odds = {0.5: -1.0, 1.0: half, 2.0: half, 4.0: 1.0, -4.0: 1.0}
    assert chosen_dose(responses(odds, norm=0.3)) == 1.0
    assert chosen_dose(responses(odds, norm=0.25)) == 4.0
    assert chosen_dose(responses(odds, norm=3)) is None
    other = responses({2.0: 1.0}, vector="difference of means")
    assert chosen_dose(pl.concat([responses(odds, norm=0.3), other])) == 1.0


def rate(random: pl.DataFrame) -> dict[str, Any]:
    before = np.where(np.arange(20) < 10, 1.0, -1.0)
    after = np.where(np.arange(20) < 18, 1.0, -1.0)
    found, clean = responses({2.0: after}), responses({0.0: before})
    return rate_at(5, found, clean, random, resampling(IMAGES))


def test_the_rate_is_a_change_from_the_clean_run_beside_random_vectors_at_the_same_dose() -> None:
    found = rate(random_odds([1.0, -1.0] * 20))
    assert (found["female_rate"], found["clean_rate"]) == (0.9, 0.5)
    assert found["change"] == pytest.approx(0.4)
    assert found["low"] > 0.1 and found["high"] < 0.7
    assert found["control"] == pytest.approx(0)
    assert (found["control_low"], found["control_high"]) == (-0.5, 0.5)
    assert found["draws"] == 40 and found["p"] > 0.5
    assert found["cost"] == pytest.approx(2.0)
    assert (found["dose"], found["images"]) == (2.0, 20)


def test_without_random_vectors_a_rate_has_no_p() -> None:
    found = rate(random_odds([]).cast({"draw": pl.Int64, "image_id": pl.String, "log_odds": pl.Float64}))
    assert found["draws"] == 0 and "p" not in found


def test_q_families_are_layers_and_languages_of_one_vector() -> None:
    ps = {"features": (0.01, 0.04), "difference of means": (0.5, 0.6)}
    rows = [
        {"layer": layer, "language": "en", "vector": vector, "p": p}
        for vector, values in ps.items()
        for layer, p in enumerate(values)
    ]
    found = corrected(pl.DataFrame(rows, schema=SLOPES))
    np.testing.assert_allclose(found["q"], [0.02, 0.04, 0.6, 0.6])
    assert found.columns == SLOPES.names()
    rates = [{"layer": 1, "language": language, "p": p} for language, p in (("en", 0.02), ("ar", 0.5))]
    np.testing.assert_allclose(
        corrected_rates(pl.DataFrame(rows and rates, schema=rates_schema(GENDER)))["q"], [0.04, 0.5]
    )


def tables() -> dict[str, pl.DataFrame]:
    images = resampling(IMAGES)
    steep = {-1.0: -2.0, 0.0: 0.0, 1.0: 2.0}
    slopes = []
    for layer, factor in ((3, 1.0), (4, 9.0)):
        for language in ("en", "ar"):
            own = responses({dose: factor * value for dose, value in steep.items()}, language)
            other = responses({dose: 3 * value for dose, value in steep.items()}, language, "difference of means")
            random = random_slopes(np.linspace(-1, 1, 99), language)
            slopes.append(summarise_slopes(layer, pl.concat([own, other]), random, images))
    features = {"layer": [3, 4], "feature": [1, 2], "association": [0.4, 0.1], "q": [0.01, 0.9]}
    rates = [{**rate(random_odds(np.tile([1.0, -1.0], 20))), "layer": 3}]
    return {
        "slopes": corrected(pl.concat(slopes)),
        "rates": corrected_rates(pl.DataFrame(rates, schema=rates_schema(GENDER))),
        "features": pl.DataFrame(features, schema_overrides={"layer": pl.UInt16}),
    }


def test_estimates_speak_of_the_layer_that_the_selection_split_picks() -> None:
    given = tables()
    found = {one.name: one for one in estimates(given, GENDER, "items")}
    assert {one.layer for one in found.values()} == {3}
    assert [name for name, one in found.items() if one.answers] == ["slope.en", "slope.ar"]
    for one in found.values():
        place = given[one.source.table].filter(**one.source.key)
        assert place.height == 1 and place[one.source.column].item() == one.value
    slope = found["slope.en"]
    assert slope.value == pytest.approx(2) and slope.verdict == "found"
    assert (slope.family, slope.counted, slope.draws) == ("2 layers × 2 languages", "test items", 99)
    assert "1 feature associated with gender" in slope.condition
    assert found["difference_slope.en"].described and found["cost.en"].described
    assert found["rate_change.en"].verdict == "not found"
    assert not found["rate_change.en"].answers


def test_a_flat_response_is_not_found() -> None:
    given = tables()
    flat = summarise_slopes(3, responses({-1.0: 0.0, 1.0: 0.0}), random_slopes(np.zeros(99)), resampling(IMAGES))
    found = estimates({**given, "slopes": corrected(flat), "rates": given["rates"].clear()}, GENDER, "images")
    assert [one.verdict for one in found] == ["not found"]
