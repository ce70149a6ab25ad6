"""The gender direction: planted, measured on images that it was not fitted on, and drawn."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.direction import Config
from core.analysis.direction.figures import figures
from core.analysis.direction.run import run
from core.analysis.result import Result
from core.features.inputs import AnalysisInputs
from core.stats.intervals import auroc
from tests.core.features.planted_world import World, make_inputs, read_planted_sets

CONFIG = Config(draws=50, bootstrap=50, images=10, shown=2)


@pytest.fixture(autouse=True)
def planted_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.features.row_groups.position_sets", read_planted_sets)


@pytest.fixture(scope="module")
def result() -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.features.row_groups.position_sets", read_planted_sets)
        return run(make_inputs(World(images=160, layers=3, noise=0.5)), CONFIG)


def row(result: Result, **place: Any) -> dict[str, Any]:
    return (
        result.tables["separation"]
        .filter(**{"position_set": "pre-gender", "language": "en", **place})
        .row(0, named=True)
    )


def test_the_planted_direction_is_born_in_its_layer(result: Result) -> None:
    for method in ("difference of means", "LDA"):
        before, after = (row(result, layer=layer, method=method) for layer in (0, 2))
        assert after["auroc"] > 0.9 > before["auroc"] and after["distance"] > 2
        assert after["p"] >= 1 / 51
    assert row(result, layer=2, method="difference of means")["cosine"] == pytest.approx(1)
    shares = [row(result, layer=2, method="LDA")[name] for name in ("share", "first_share", "second_share")]
    assert 0 < sum(shares) <= 1


def test_the_picture_shows_what_the_table_says(result: Result) -> None:
    placed = result.tables["projections"]
    some = placed.filter(layer=2, language="ar", position_set="pre-gender", method="difference of means")
    assert 0 < some.height <= 10 and set(some["label"]) == {"female", "male"}
    assert auroc(some["along"].to_numpy(), (some["label"] == "female").to_numpy()) > 0.9
    reported = result.tables["best"].select("layer", "language", "position_set")
    assert reported.join(placed, on=reported.columns, how="anti").is_empty()


def test_estimates_name_their_rows_and_answer_before_gender_is_spoken(result: Result) -> None:
    assert {one.name for one in result.estimates if one.answers} == {
        f"separation.{method}.{place}.{language}"
        for method in ("means", "lda")
        for place in ("last-prompt", "pre-gender")
        for language in ("en", "ar")
    }
    for one in result.estimates:
        rows = result.tables["separation"].filter(**one.source.key)
        assert rows.height == 1 and rows["auroc"][0] == one.value
        assert one.control is not None and "covariance" in one.control.what and one.q is not None


def test_labels_shuffled_by_image_find_nothing() -> None:
    inputs = make_inputs(World(images=120, layers=1))
    for seed in range(3):
        gender = np.random.default_rng(seed).permutation(inputs.samples["gender_en"].to_numpy())
        samples = inputs.samples.with_columns(gender_en=gender, gender_ar=gender)
        shuffled = AnalysisInputs(**{**inputs.__dict__, "samples": samples})
        assert not [one.name for one in run(shuffled, CONFIG).estimates if one.verdict == "found"]


def test_figures_are_drawn_and_turn_without_more_data(result: Result) -> None:
    drawn = figures(result.tables)
    assert set(drawn) == {"separation", "plane", "space"}
    spec = drawn["space"].chart.to_dict()
    assert {"turn", "tilt", "shown_layer", "shown_place"} <= {param["name"] for param in spec["params"]}
    assert all(figure.caption and figure.chart.to_dict() for figure in drawn.values())
    assert figures({name: table.clear() for name, table in result.tables.items()}) == {}


def test_too_few_images_are_no_direction() -> None:
    few = run(make_inputs(World(images=16, layers=1)), CONFIG)
    assert few.estimates == () and few.tables["separation"].is_empty() and isinstance(few.tables["best"], pl.DataFrame)
