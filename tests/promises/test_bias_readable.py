"""Where in the layers: a probe of what is seen, scored on pictures that do not show it, at a layer that it chose."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from core.analysis.bias import Config
from core.analysis.bias.hidden import OF_HIDDEN, Hidden
from core.analysis.bias.readable import readable_table
from core.data.visible import visible_images
from core.stats.intervals import Interval
from tests.core.features.planted_world import World, make_inputs, no_model, read_planted_sets
from tests.promises.bias_world import JOBS, LABELS, asked

CONFIG = Config(position_sets=("last-prompt",), bootstrap=20, permutations=99)
LAYERS = (0, 2, 3)
IMAGES = 96


@pytest.fixture(scope="module")
def hidden() -> Hidden:
    """Every other pair of images shows nothing; their rates follow nothing. There are twelve of each split and kind,
    and the training images have twice as many."""
    plain = make_inputs(World(images=IMAGES, layers=4, languages=("en",)), no_model)
    numbers = np.arange(IMAGES)
    shown = np.where(numbers // 2 % 2 == 0, "neutral", np.where(numbers % 2 == 0, "woman", "man"))
    split = [("train", "train", "select", "test")[number // 4 % 4] for number in numbers]
    jobs = [JOBS[number // 4 % 6] for number in numbers]
    columns = {"visible_gender": shown, "split": split, "profession": jobs}
    samples = plain.samples.with_columns(**{name: pl.Series(values) for name, values in columns.items()})
    views = {layer: replace(plain.open_layer(layer), samples=samples) for layer in plain.layers}
    own = replace(plain, samples=samples, open_layer=views.__getitem__, languages=("en",))
    visible = visible_images(own.concept, samples, ("en",))
    rng = np.random.default_rng(1)
    rates = {image: float(rng.uniform(0.1, 0.9)) for image in visible.hidden}
    units = pl.Series(own.units(samples["image_id"].to_list()))
    groups = samples.select("image_id", "profession").with_columns(unit=units)
    return Hidden(
        own, visible, ("profession",), groups, asked("en", **rates), pl.DataFrame(schema=LABELS), {"en": OF_HIDDEN}
    )


@pytest.fixture
def table(hidden: Hidden, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    """The AUROC of selection images rises from layer to layer, that of test images falls."""
    monkeypatch.setattr("core.features.row_groups.position_sets", read_planted_sets)
    rising, falling = iter((0.7, 0.8, 0.9)), iter((0.9, 0.8, 0.7))
    monkeypatch.setattr("core.analysis.bias.readable.auroc", lambda *_: next(rising))
    monkeypatch.setattr("core.analysis.bias.readable.bootstrap_auroc", lambda *_: Interval(0.5, next(falling), 1.0))
    return readable_table(hidden, CONFIG, LAYERS)


def test_the_probe_learns_from_pictures_that_show_it_and_is_scored_on_those_that_do_not(
    table: pl.DataFrame, hidden: Hidden
) -> None:
    shown = hidden.inputs.samples.filter(pl.col("visible_gender") != "neutral")
    assert set(table["train_images"]) == {shown.filter(split="train").height}
    assert set(table["test_images"]) == {shown.filter(split="test").height}
    assert set(table["units"]) == {len(hidden.visible.hidden)}


def test_its_layer_is_chosen_on_selection_images_and_p_is_against_the_whole_curve(table: pl.DataFrame) -> None:
    assert table.filter("chosen")["layer"].to_list() == [3]
    assert (table["p_curve"] > table["p"]).any()
