import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy import stats

from core.analysis.result import Result
from core.analysis.visual_patterns import Config as VisualPatternsConfig
from core.analysis.visual_patterns.figures import figures
from core.analysis.visual_patterns.image_maps import (
    box_cells,
    centre_prior,
    chance_overlap,
    find_grid,
    overlap,
    pointing,
)
from core.analysis.visual_patterns.run import run as visual_patterns
from core.causal.maps import block_of_cell
from tests.core.causal.causal_world import BOX, LAYER, MALE, SEEN, SIDE, CausalWorld, causal_world

CONFIG = VisualPatternsConfig(layers=(LAYER,), features=2, top_images=3, occluded_images=3, bootstrap=100)


@pytest.fixture(scope="module")
def world(tiny_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CausalWorld]:
    with causal_world(tiny_gemma, tmp_path_factory.mktemp("causal") / "w", {"select": 12, "test": 8}) as opened:
        yield opened


@pytest.fixture(scope="module")
def result(world: CausalWorld) -> Result:
    return visual_patterns(world.inputs, CONFIG)


def test_the_planted_features_point_at_the_box(result: Result) -> None:
    rows = result.tables["localisation"].filter(pl.col("box") == "person")
    whole = rows.filter(pl.col("feature").is_null()).row(0, named=True)
    assert set(rows["feature"].drop_nulls()) == {SEEN, MALE + SEEN}
    assert whole["pointing"] == 1
    assert whole["chance"] == len(BOX) / SIDE**2
    assert whole["above_chance_low"] > 0
    assert whole["iou"] > 0.9
    assert whole["iou_chance"] < 0.5
    assert whole["coverage"] == 1


def test_without_a_match_nothing_is_compared_and_the_result_says_so(result: Result) -> None:
    # The other features of this world fire on whole images, the planted ones on a quarter of the cells.
    whole = result.tables["localisation"].filter(pl.col("feature").is_null()).row(0, named=True)
    assert math.isnan(whole["above_control"]) and whole["compared"] == 0 and whole["p"] is None
    assert any("no match" in note for note in result.notes)
    pointing_found = next(one for one in result.estimates if one.name == "pointing.person")
    assert pointing_found.control is None and pointing_found.verdict == "not tested"


def test_maps_agree_with_the_causal_maps_of_a_circuit_that_looks_cell_by_cell(result: Result) -> None:
    kinds = result.tables["causal"].group_by("kind").agg(pl.col("swap").unique().sort())
    assert dict(kinds.iter_rows()) == {"twin-swap": [0], "random-swap": [1, 2, 3]}
    agreement = result.tables["agreement"].row(0, named=True)
    assert agreement["images"] == 3
    assert agreement["spearman"] > 0.6
    assert abs(agreement["random"]) < 0.4
    causal = result.tables["causal"].filter(pl.col("spearman").is_finite()).row(0, named=True)
    assert causal["spearman"] == pytest.approx(stats.spearmanr(causal["map"], causal["causal"]).statistic)
    assert set(np.argsort(causal["causal"])[-4:]) == set(BOX)


def test_top_images_are_the_strongest_test_images(world: CausalWorld, result: Result) -> None:
    maps = result.tables["maps"].filter(pl.col("feature") == SEEN)
    assert maps["rank"].to_list() == [1, 2, 3]
    assert maps["strongest"].is_sorted(descending=True)
    assert all(image.startswith("test-") and image.endswith("-female") for image in maps["image_id"])
    assert all(
        len(cells) == SIDE**2 and max(cells) == pytest.approx(top) for cells, top in maps["map", "strongest"].rows()
    )


def test_a_study_of_text_is_skipped_and_says_so(world: CausalWorld) -> None:
    found = visual_patterns(replace(world.inputs, images=None), CONFIG)
    assert "no images" in found.notes[0]
    assert found.tables == {}
    assert figures(found.tables) == {}


def test_without_boxes_maps_are_shown_and_not_scored(world: CausalWorld) -> None:
    samples = world.samples.drop("person_box")
    found = visual_patterns(replace(world.inputs, samples=samples), replace_config(occluded_images=0))
    assert found.tables["localisation"].is_empty()
    assert found.tables["maps"].height > 0
    assert any("No boxes" in note for note in found.notes)


def replace_config(**changes: int) -> VisualPatternsConfig:
    return CONFIG.model_copy(update=changes)


def test_cells_are_numbered_row_by_row_whatever_the_order_of_rows(world: CausalWorld) -> None:
    tokens = world.inputs.open_layer(LAYER).table.tokens
    image = tokens["image_id"][0]
    grid = find_grid(tokens, [image])
    assert grid is not None
    rows = np.flatnonzero(grid.row_image >= 0)
    positions = tokens["position"].to_numpy()[rows]
    assert grid.side == SIDE
    np.testing.assert_array_equal(grid.row_cell[rows], positions - positions.min())
    assert find_grid(tokens.filter(pl.col("segment") == "caption"), [image]) is None
    again = tokens.with_columns(pl.lit("zzz").alias("sample_id").cast(tokens["sample_id"].dtype))
    twice = find_grid(pl.concat([tokens, again, again, again]), [image])
    assert twice is not None and twice.side == SIDE, "an image that comes with every caption of its own"
    np.testing.assert_array_equal(twice.row_cell[: tokens.height], grid.row_cell)


def test_a_box_has_the_cells_whose_centres_it_holds_and_at_least_one(world: CausalWorld) -> None:
    boxes = [[0, 0, 28, 28], [30, 2, 40, 12], [20, 20, 22, 22], None]  # 56 pixels, cells of 14, centres 7, 21, 35, 49
    samples = world.samples.head(4).with_columns(pl.Series("some_box", boxes))
    cells = box_cells(world.inputs, samples, "some_box", SIDE)
    assert [np.flatnonzero(row).tolist() for row in cells] == [[0, 1, 4, 5], [2], [5], []]


def test_boxes_are_pixels_of_the_upright_picture(world: CausalWorld, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40)).save(tmp_path / "upright.png")
    Image.new("RGB", (40, 80)).save(tmp_path / "sideways.png", exif=exif)
    samples = pl.DataFrame({"image": ["upright.png", "sideways.png"], "some_box": [[60, 0, 80, 10]] * 2})
    cells = box_cells(replace(world.inputs, images=tmp_path), samples, "some_box", SIDE)
    assert [np.flatnonzero(row).tolist() for row in cells] == [[3], [3]]


def test_what_is_no_box_has_no_cell(world: CausalWorld) -> None:
    boxes = [[0.0] * 3, [0.0, None, 28.0, 28.0], [0.0, math.nan, 28.0, 28.0], [0.0, 0.0, math.inf, 28.0]]
    samples = world.samples.head(4).with_columns(pl.Series("some_box", boxes))
    assert not box_cells(world.inputs, samples, "some_box", SIDE).any()


def test_pointing_and_overlap_by_hand() -> None:
    maps = np.array([[0, 3, 1, 0], [2, 2, 0, 0], [0, 0, 0, 0], [5, 0, 0, 0.0]])
    boxes = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=bool)
    np.testing.assert_array_equal(pointing(maps, boxes), [1, 0.5, np.nan, np.nan])
    np.testing.assert_array_equal(overlap(maps, boxes), [1, 0.5, np.nan, np.nan])
    assert chance_overlap(maps[:1], boxes[:1], 0)[0] < 0.6


def test_the_centre_prior_is_strongest_in_the_middle() -> None:
    prior = centre_prior(4).reshape(4, 4)
    assert set(np.flatnonzero(prior.reshape(-1) == prior.max())) == {5, 6, 9, 10}
    assert math.isclose(prior[0, 0], prior[3, 3])


def test_fine_grids_are_replaced_in_square_blocks() -> None:
    np.testing.assert_array_equal(block_of_cell(16), np.arange(16))
    blocks = block_of_cell(256)
    assert np.bincount(blocks).tolist() == [4] * 64
    assert blocks[0] == blocks[1] == blocks[16] == blocks[17] == 0


def test_findings_stand_in_the_tables_and_figures_are_drawn(result: Result) -> None:
    assert [one.name for one in result.estimates] == ["pointing.person", "agreement"]
    agreement = result.estimates[1]
    assert agreement.verdict == "found" and agreement.draws == 4**3 - 1
    assert agreement.value == result.tables["agreement"]["above_random"][0]
    assert agreement.q == result.tables["agreement"]["q"][0]
    drawn = figures(result.tables)
    assert set(drawn) == {"pointing", "maps", "causal"}
    assert all(figure.chart.to_dict() and figure.caption for figure in drawn.values())


def test_an_outliers_cell_is_in_no_map_and_the_others_keep_their_places(world: CausalWorld) -> None:
    tokens = world.inputs.open_layer(LAYER).table.tokens
    image = tokens["image_id"][0]
    whole = find_grid(tokens, [image])
    assert whole is not None
    lost = int(np.flatnonzero(whole.row_image >= 0)[5])
    grid = find_grid(tokens.with_columns(outlier=pl.int_range(pl.len()) == lost), [image])
    assert grid is not None and grid.side == whole.side
    assert (grid.row_image[lost], grid.row_cell[lost]) == (-1, -1)
    kept = np.arange(tokens.height) != lost
    np.testing.assert_array_equal(grid.row_cell[kept], whole.row_cell[kept])
