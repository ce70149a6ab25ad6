"""Maps are of test images, laid out by position, and what is found is their difference from matched features."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from core.analysis.result import Result
from core.analysis.visual_patterns import Config
from core.analysis.visual_patterns.agreement import AGREEMENT
from core.analysis.visual_patterns.findings import correct_together
from core.analysis.visual_patterns.image_maps import find_grid, place_rows
from core.analysis.visual_patterns.localisation import LOCALISATION
from core.analysis.visual_patterns.run import run
from core.features.inputs import AnalysisInputs
from core.features.significance import how_many, ranked_tests, significant, with_q
from core.stats.intervals import bootstrap_mean
from tests.promises.image_world import (
    ASSOCIATED,
    BOX,
    CHOSEN,
    CORNER,
    FREE,
    SIDE,
    START,
    Look,
    make_inputs,
    make_layer,
    make_ranking,
    make_samples,
    make_tokens,
)

CONFIG = Config(layers=(3,), features=2, top_images=30, occluded_images=0, bootstrap=200)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> AnalysisInputs:
    return make_inputs(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def result(inputs: AnalysisInputs) -> Result:
    return run(inputs, CONFIG)


def whole(result: Result) -> dict[str, Any]:
    return result.tables["localisation"].filter(pl.col("feature").is_null()).row(0, named=True)


# Which images, and which cells


def test_only_test_images_are_mapped_and_scored(result: Result) -> None:
    # On every other image the features look at the corner.
    assert whole(result)["pointing"] == 1
    assert whole(result)["images"] == 24
    maps = result.tables["maps"]
    assert maps["image_id"].n_unique() == 24 and maps["image_id"].str.starts_with("test-").all()


def test_a_dropped_row_leaves_its_own_cell_empty_and_moves_no_other() -> None:
    tokens = make_tokens(make_samples())
    names = tokens["image_id"].unique(maintain_order=True).to_list()
    complete = find_grid(tokens, names)
    lost = {0, 5, 6, 3 * SIDE**2 + 15}  # the first row of an image too
    kept = [row for row in range(tokens.height) if row not in lost]
    grid = find_grid(tokens[kept], names)
    assert complete is not None and grid is not None and grid.side == SIDE
    np.testing.assert_array_equal(grid.row_cell, complete.row_cell[kept])
    np.testing.assert_array_equal(grid.row_image, complete.row_image[kept])


def test_control_tokens_between_rows_leave_no_cell_and_images_may_start_anywhere() -> None:
    positions = np.array([3, 4, 6, 7])
    cells, side = place_rows(np.zeros(4, np.int64), positions)
    assert (cells.tolist(), side) == ([0, 1, 2, 3], 2)
    of_image = np.repeat([0, 1, 2], [4, 4, 3])
    cells, side = place_rows(of_image, np.concatenate([positions, positions + 9, positions[1:] + 20]))
    # The third image lacks a row, and nobody knows which.
    assert (cells.tolist(), side) == ([0, 1, 2, 3, 0, 1, 2, 3, -1, -1, -1], 2)


def test_rows_that_make_no_square_have_no_grid() -> None:
    assert place_rows(np.zeros(3, np.int64), np.arange(3))[1] == 0


def test_image_rows_captured_in_both_languages_are_read_in_one() -> None:
    tokens = make_tokens(make_samples())
    both = pl.concat([tokens.with_columns(pl.lit(language).alias("language")) for language in ("en", "ar")])
    names = tokens["image_id"].unique(maintain_order=True).to_list()
    grid = find_grid(both, names)
    assert grid is not None
    read = both["language"].to_numpy()[grid.row_image >= 0]
    assert read.size == tokens.height and set(read) == {"ar"}


def test_outliers_are_in_no_map() -> None:
    tokens = make_tokens(make_samples()).with_columns(outlier=pl.int_range(pl.len()) == 7)
    grid = find_grid(tokens, tokens["image_id"].unique(maintain_order=True).to_list())
    assert grid is not None
    assert (grid.row_cell[7], grid.row_cell[8]) == (-1, 8)


# The whole analysis


def test_the_run_resamples_twins_together(inputs: AnalysisInputs) -> None:
    look = Look(chosen=BOX)
    opened = make_layer(3, inputs.samples, look)
    # Feature 1 looks away on the first pairs of twins.
    codes = opened.index._rows.toarray().reshape(-1, SIDE**2, opened.index.num_features)  # type: ignore[attr-defined]
    first = int((inputs.samples["split"] != "test").sum())
    codes[first : first + 10, :, list(CHOSEN)] = 0
    codes[first : first + 10, CORNER, list(CHOSEN)] = 1
    layer = make_layer(3, inputs.samples, look)
    layer.index.__init__(type(layer.index._rows)(codes.reshape(-1, codes.shape[2])))  # type: ignore[misc,attr-defined]
    changed = make_inputs(inputs.images, {3: layer})  # type: ignore[arg-type]
    row = whole(run(changed, CONFIG))
    hits = np.r_[np.zeros(10), np.ones(14)]
    expected = bootstrap_mean(hits - 1 / SIDE**2, 200, 0, np.arange(24) // 2)
    assert row["above_chance"] == pytest.approx(14 / 24 - 1 / SIDE**2)
    assert (row["above_chance_low"], row["above_chance_high"]) == pytest.approx((expected.low, expected.high))


def test_what_looks_at_the_person_is_found_and_what_looks_anywhere_is_not(tmp_path: Path, result: Result) -> None:
    found = {one.name: one for one in result.estimates}["pointing.person"]
    assert found.verdict == "found" and found.answers and found.language is None
    assert found.value == pytest.approx(1 - 1 / SIDE**2, abs=0.05)
    assert found.control is not None and found.control.draws >= 100
    # The associated features look at the person as well; they are no controls.
    away = make_inputs(tmp_path, {3: make_layer(3, make_samples(), Look(chosen=CORNER))})
    absent = {one.name: one for one in run(away, CONFIG).estimates}["pointing.person"]
    assert absent.verdict != "found" and absent.value < 0


def test_the_value_is_the_tables_and_the_middle_and_a_random_cell_are_told(result: Result) -> None:
    one = result.estimates[0]
    rows = result.tables[one.source.table].filter(
        pl.all_horizontal(pl.col(name).eq_missing(pl.lit(value)) for name, value in one.source.key.items())
    )
    assert rows.height == 1 and rows[one.source.column][0] == one.value
    row = whole(result)
    assert one.interval == (row["above_control_low"], row["above_control_high"])
    assert row["chance"] == 1 / SIDE**2 and row["centre"] == 0
    assert "a random cell 6.2%, a map of the image's middle 0.0%" in one.caveats[0]


def test_the_layer_is_picked_on_the_selection_split(tmp_path: Path) -> None:
    samples = make_samples()
    layers = {
        3: make_layer(3, samples, Look(chosen=BOX), strength=0.2),
        5: make_layer(5, samples, Look(chosen=CORNER), strength=0.4),
    }
    found = run(make_inputs(tmp_path, layers), CONFIG.model_copy(update={"layers": (3, 5)}))
    assert [(one.name, one.layer) for one in found.estimates] == [("pointing.person", 5)]
    assert found.estimates[0].verdict != "found"
    assert "2 layers" in found.estimates[0].chosen and "selection split" in found.estimates[0].chosen
    assert "2 of boxes by layer" in found.estimates[0].family


def test_features_that_pass_no_test_are_not_called_the_concepts(tmp_path: Path) -> None:
    weak = make_inputs(tmp_path, {3: make_layer(3, make_samples(), Look(), p=0.4)})
    assert "none significant" in run(weak, CONFIG).estimates[0].condition
    assert "all significant" in run(make_inputs(tmp_path), CONFIG).estimates[0].condition


def test_significance_is_corrected_over_the_layers() -> None:
    tests = [one_layer(layer, [0.004, *np.linspace(0.1, 1, 9)]) for layer in (1, 2, 3, 4)]
    best = pl.DataFrame({"layer": [1, 1], "feature": [0, 50]}, schema=tests[0].drop("p").schema)
    assert significant(with_q(best, tests[:1])) == 1
    others = [test.with_columns(p=pl.lit(0.5)) for test in tests[1:]]
    assert significant(with_q(best, [tests[0], *others])) == 0
    at_image = ranked_tests(3, make_ranking(), ("image",))
    assert at_image.height == 22 and at_image.filter(pl.col("feature").is_in(CHOSEN))["p"].max() == 1e-6
    assert [how_many(n, 3) for n in (0, 1, 3)] == ["none significant", "1 of 3 significant", "all significant"]


def one_layer(layer: int, p: list[float]) -> pl.DataFrame:
    columns = {"layer": [layer] * len(p), "feature": range(len(p)), "p": p}
    return pl.DataFrame(columns, {"layer": pl.UInt16, "feature": pl.UInt32, "p": pl.Float64})


def test_q_is_over_every_test_of_the_question_and_nothing_else() -> None:
    p = [0.01, None, 0.03, 0.2]
    empty = dict.fromkeys(LOCALISATION.names())
    rows = [{**empty, "layer": 3, "feature": None if one else 7, "box": "person", "p": one} for one in p]
    agreement = [{**dict.fromkeys(AGREEMENT.names()), "layer": 3, "p": 0.04}]
    found = correct_together(pl.DataFrame(rows, LOCALISATION), pl.DataFrame(agreement, AGREEMENT))
    expected = stats.false_discovery_control([0.01, 0.03, 0.2, 0.04])
    q = found["localisation"]["q"].to_list()
    assert q[1] is None
    assert [q[0], q[2], q[3], found["agreement"]["q"][0]] == pytest.approx(expected.tolist())
    assert found["localisation"].schema == LOCALISATION


def test_the_world_is_what_it_says() -> None:
    assert START > 0 and set(ASSOCIATED).isdisjoint(FREE) and set(CHOSEN).isdisjoint(FREE)
