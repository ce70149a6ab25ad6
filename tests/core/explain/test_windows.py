"""Windows: who sees which prompts, what lies in a window, and what never happens."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given as over
from hypothesis import settings
from hypothesis import strategies as st

from core.data.twins import unit_of_image
from core.explain.drawing import Candidates, draw
from core.explain.tables import WINDOWS
from core.explain.windows import cut, windows
from core.study.catalogue import ExampleConfig
from tests.core.explain.planted_features import (
    CAPTION,
    FEATURES,
    IMAGE_ALONE,
    INSTRUCTION,
    NEAR,
    NEVER,
    RARE,
    planted,
)


def made(features: range | list[int] = range(FEATURES), **config: object) -> pl.DataFrame:
    given = planted()
    settings = ExampleConfig.model_validate({"per_quantile": 2, "random": 3, "hard": 3} | config)
    return windows(given.index, given.tokens, given.samples, features, settings, "s/layer_0")


def test_neither_an_image_nor_its_twin_is_both_shown_and_scored() -> None:
    units = unit_of_image(planted().samples)
    image_of = dict(planted().samples.select("sample_id", "image_id").iter_rows())
    table = made()
    assert table.schema == WINDOWS
    assert table["feature_id"].n_unique() == FEATURES - 1
    for (feature,), own in table.group_by("feature_id"):
        found = [units[image_of[sample]] for sample in own["sample_id"].to_list()]
        assert len(set(found)) == len(found), feature
        assert set(own["use"].to_list()) == {"explain", "score"}


def test_silent_examples_are_silent_in_the_whole_prompt_and_near_ones_fire_for_a_neighbour() -> None:
    given = planted()
    table = made()
    silent = table.filter(pl.col("kind") != "quantile")
    drawn = silent.filter(kind="random").group_by("feature_id").len()
    assert dict(drawn.iter_rows())[CAPTION] == drawn["len"].max() == 3
    for row in silent.to_dicts():
        language = row["language"] or "en"
        assert given.fires(row["feature_id"], row["sample_id"], language).max() == 0
        assert row["quantile"] is None
        assert max([0.0, *row["values"], *row["map_cells"]]) == 0
    hard = silent.filter(pl.col("kind") == "hard")
    assert set(hard["feature_id"].to_list()) == {CAPTION, NEAR}
    for row in hard.filter(pl.col("feature_id") == CAPTION).to_dicts():
        assert given.fires(NEAR, row["sample_id"], row["language"]).max() > 0


def test_bands_are_of_descending_strength_and_the_explainer_has_the_strongest() -> None:
    table = made([CAPTION], quantiles=3, per_quantile=3)
    strongest = table.with_columns(peak=pl.col("values").list.max()).filter(pl.col("kind") == "quantile")
    bounds = strongest.group_by("quantile").agg(low=pl.col("peak").min(), high=pl.col("peak").max()).sort("quantile")
    assert (bounds["low"][1:] >= bounds["high"][:-1]).all()
    shown = strongest.filter(pl.col("use") == "explain", pl.col("quantile") == 3)
    others = strongest.filter(pl.col("use") == "score", pl.col("quantile") == 3)
    assert shown["peak"].min() >= others["peak"].max()
    assert strongest.select("use", "quantile").rows() == sorted(
        strongest.select("use", "quantile").rows(), key=lambda row: (row[0], -row[1])
    )


@pytest.mark.parametrize("place", ["symmetric", "trailing"])
def test_a_window_lies_around_or_before_its_strongest_token_in_its_part_of_the_prompt(place: str) -> None:
    given = planted()
    for row in made(window=4, place=place).filter(kind="quantile").to_dicts():
        if row["feature_id"] == IMAGE_ALONE:
            continue
        segment = "prompt" if row["feature_id"] == INSTRUCTION else "caption"
        own = given.tokens.with_row_index("at").filter(
            sample_id=row["sample_id"], language=row["language"], segment=segment, special=False
        )
        values = given.dense[own["at"].to_numpy(), row["feature_id"]]
        peak = int(values.argmax())
        low, high = (peak - 3, peak + 1) if place == "trailing" else (peak - 2, peak + 2)
        span = slice(max(low, 0), high)
        assert row["tokens"] == own["token"].to_list()[span]
        assert row["values"] == values[span].tolist()


def test_a_feature_of_images_alone_has_maps_and_no_words() -> None:
    given = planted()
    table = made([IMAGE_ALONE])
    assert table["tokens"].list.len().max() == 0
    assert table["language"].null_count() == table.height
    active = table.filter(kind="quantile")
    assert active.height > 0
    for row in active.to_dicts():
        patches = given.tokens.with_row_index("at").filter(sample_id=row["sample_id"], segment="image")["at"]
        assert row["map_cells"] == given.dense[patches.to_numpy(), IMAGE_ALONE].tolist()


def test_too_few_examples_are_fewer_rows_and_none_is_none() -> None:
    assert made([NEVER]).height == 0
    rare = made([RARE]).filter(kind="quantile")
    assert rare.height == 2  # its three images are an image, its twin, and another
    assert sorted(rare["use"].to_list()) == ["explain", "explain"]
    wanted = made([CAPTION], per_quantile=500, random=500, hard=500)
    assert wanted["sample_id"].n_unique() == wanted.height < 60


def test_draws_are_the_seeds_and_the_features_alone() -> None:
    one = made([CAPTION, 8])
    assert one.equals(made([8, CAPTION]))
    assert one.filter(feature_id=8).equals(made([8]))
    assert not one.equals(made([CAPTION, 8], seed=1))


@settings(max_examples=60, deadline=None)
@over(st.data())
def test_whatever_is_there_each_unit_is_used_once(data: st.DataObject) -> None:
    prompts = data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    units = rng.integers(0, prompts // 2 + 1, prompts)
    active = np.flatnonzero(rng.random(prompts) < rng.random())
    silent = np.ones(prompts, bool)
    silent[active] = False
    near = rng.permutation(np.flatnonzero(silent))[: prompts // 3]
    config = ExampleConfig(quantiles=data.draw(st.integers(1, 5)), per_quantile=data.draw(st.integers(1, 6)), hard=2)
    drawn = draw(Candidates(active, rng.random(len(active)), units, silent, near), config, 3)
    used = [int(units[one.prompt]) for one in drawn]
    assert len(set(used)) == len(used)
    assert all(silent[one.prompt] == (one.quantile == 0) for one in drawn)
    shown = sum(one.use == "explain" for one in drawn)
    scored = sum(one.use == "score" and one.quantile > 0 for one in drawn)
    assert scored <= shown <= scored + config.quantiles
    if len(set(units[active])) >= 2 * config.quantiles * config.per_quantile:
        assert shown == scored == config.quantiles * config.per_quantile


def test_windows_are_cut_at_the_limits() -> None:
    centres, limits = np.array([0, 5, 9]), (np.array([0, 0, 7]), np.array([10, 10, 10]))
    low, high = cut(centres, limits, 4, "symmetric")
    assert (low.tolist(), high.tolist()) == ([0, 3, 7], [2, 7, 10])
    low, high = cut(centres, limits, 4, "trailing")
    assert (low.tolist(), high.tolist()) == ([0, 2, 7], [1, 6, 10])
