"""The causal map's tables: tests by units against other pictures, shares, completeness, faithfulness, crossings."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from scipy import stats

from core.analysis.causal_map.carried import SWAPS
from core.analysis.causal_map.crossed import CROSSINGS
from core.analysis.causal_map.feature_tables import carried, crossed
from core.analysis.causal_map.figures import figures
from core.analysis.causal_map.findings import estimates
from core.analysis.causal_map.matching import few_signs
from core.analysis.causal_map.measures import EFFECTS
from core.analysis.causal_map.picking import Picked, middle_layer
from core.analysis.causal_map.summary import summarise
from core.stats.estimate import verdict_of
from tests.promises.test_ablation import IMAGES, resampling


@dataclass(frozen=True)
class Planted:
    """Effects by image: at `pre-gender` what `shift` says, elsewhere noise; everything at once does 4."""

    shift: np.ndarray
    noise: float = 0.3

    def effects(self, layers: tuple[int, ...], seed: int) -> pl.DataFrame:
        random, rows = np.random.default_rng(seed), []
        for layer in layers:
            for positions in ("image", "pre-gender", *(("every position",) if layer == layers[0] else ())):
                own = {"pre-gender": self.shift, "every position": self.shift / np.abs(self.shift) * 4}.get(
                    positions, 0.0
                )
                for donor, times in (("twin", 1.0), ("same gender", 0.0), ("same gender", 0.0)):
                    values = times * own + self.noise * random.standard_normal(len(IMAGES))
                    place = (layer, "en", "first-gendered", positions, donor)
                    rows += [(*place, image, value) for image, value in zip(IMAGES, values, strict=True)]
        return pl.DataFrame(rows, schema=EFFECTS, orient="row")


def test_a_cell_is_tested_by_units_against_other_pictures_and_is_a_share_of_everything() -> None:
    drawn = resampling(IMAGES, twins=True, bootstrap=999)
    effects = Planted(np.full(len(IMAGES), 2.0)).effects((3, 9), 0)
    tables = summarise(effects, {("first-gendered", "en"): drawn})
    cell = tables["map"].filter(layer=9, positions="image").row(0, named=True)
    assert (cell["images"], cell["units"]) == (20, 10)
    by_image = effects.filter(layer=9, positions="image").group_by("donor", "image_id", maintain_order=True)
    by_image = by_image.agg(pl.col("effect").mean())
    own, other = (by_image.filter(donor=name)["effect"].to_numpy() for name in ("twin", "same gender"))
    sums = (own - other).reshape(10, 2).sum(axis=1)
    exact = stats.permutation_test((sums, np.zeros(10)), lambda x, y: np.mean(x - y), permutation_type="samples")
    assert cell["p"] == pytest.approx(exact.pvalue)
    assert cell["control"] == pytest.approx(other.mean()) and cell["effect"] == pytest.approx(own.mean())
    decided = tables["map"].filter(layer=9, positions="pre-gender").row(0, named=True)
    assert decided["share"] == pytest.approx(0.5, abs=0.1) and decided["share_low"] < 0.5 < decided["share_high"] + 0.1
    q = stats.false_discovery_control(tables["map"]["p"].to_numpy())
    assert tables["map"]["q"].to_list() == pytest.approx(q.tolist())


def test_an_image_without_the_position_set_takes_no_part() -> None:
    effects = Planted(np.full(len(IMAGES), 2.0)).effects((3,), 0)
    some = effects.filter((pl.col("positions") != "image") | pl.col("image_id").is_in(IMAGES[:7]))
    found = summarise(some, {("first-gendered", "en"): resampling(IMAGES)})["map"].filter(positions="image")
    assert found["images"].item() == 7


def verdicts(effects: pl.DataFrame, layer: int) -> list[str]:
    tables = summarise(effects, {("first-gendered", "en"): resampling(IMAGES, bootstrap=300)})
    none = (
        carried(SWAPS.to_frame(), layer, resampling(IMAGES)),
        crossed(CROSSINGS.to_frame(), layer, resampling(IMAGES)),
    )
    tables |= {"carried": none[0], "crossed": none[1]}
    return [one.verdict for one in estimates(tables, Picked(layer, ""), "images")]


def test_what_is_planted_is_found_and_no_more() -> None:
    found = verdicts(Planted(np.full(len(IMAGES), 2.0)).effects((3, 9, 12), 0), 9)
    assert found[1] == "found" and found[0] != "found"


def test_sides_shuffled_by_image_give_no_finding() -> None:
    """A side decides an effect's sign alone: the model runs stay what they are."""
    hits = 0
    for seed in range(8):
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], len(IMAGES))
        effects = Planted(2.0 * signs).effects((9,), seed)
        hits += "found" in verdicts(effects, 9)
    assert hits <= 1


def swaps(shift: float, draws: int = 39) -> pl.DataFrame:
    random, rows = np.random.default_rng(1), []
    whole = 4.0 + np.arange(len(IMAGES)) / 10
    for language in ("en", "ar"):
        own = shift if language == "en" else 0.0
        kinds = [
            ("SAE", "shared", -1, own * whole, (1 - own) * whole),
            ("SAE", "whole rows", -1, whole, whole * np.nan),
        ]
        kinds += [("frozen", "shared", -1, 0.1 * whole, 0.9 * whole)]
        kinds += [("SAE", "shared", draw, np.zeros(len(IMAGES)), whole * np.nan) for draw in range(draws)]
        for dictionary, swapped, draw, effect, rest in kinds:
            noisy = effect + (0.05 * random.standard_normal(len(IMAGES)) if swapped == "shared" else 0)
            place = (language, dictionary, swapped, draw)
            rows += [(*place, *values) for values in zip(IMAGES, noisy, rest, strict=True)]
    return pl.DataFrame(rows, schema=SWAPS, orient="row")


def test_completeness_faithfulness_and_the_lead_over_the_frozen_dictionary() -> None:
    table = carried(swaps(0.6), 8, resampling(IMAGES))
    own = table.filter(language="en", dictionary="SAE", swapped="shared").row(0, named=True)
    assert own["share"] == pytest.approx(0.6, abs=0.01) and own["kept"] == pytest.approx(0.6, abs=1e-9)
    assert own["kept_low"] <= own["kept"] <= own["kept_high"]
    assert own["better"] == pytest.approx(0.5 * (4.95), abs=0.1) and own["better_low"] > 0
    assert own["draws"] == 39 and own["p"] == pytest.approx(1 / 40) and own["q"] <= 0.05
    other = table.filter(language="ar", dictionary="SAE", swapped="shared").row(0, named=True)
    assert other["share"] == pytest.approx(0, abs=0.02) and other["p"] > 0.05
    assert table.filter(swapped="whole rows")["share"].is_null().all()


def crossings(shift: float) -> pl.DataFrame:
    random, rows = np.random.default_rng(2), []
    for language, source in (("ar", "ar"), ("ar", "en"), ("en", "en"), ("en", "ar")):
        for donor, own in (("twin", 2.0 if language == source else shift), ("same image", 0.0)):
            values = own + 0.2 * random.standard_normal(len(IMAGES))
            place = (language, source, "shared", donor)
            rows += [(*place, image, value) for image, value in zip(IMAGES, values, strict=True)]
    return pl.DataFrame(rows, schema=CROSSINGS, orient="row")


def test_another_languages_activations_are_tested_against_the_same_images() -> None:
    table = crossed(crossings(1.0), 8, resampling(IMAGES))
    row = table.filter(language="ar", source="en").row(0, named=True)
    assert row["share"] == pytest.approx(0.5, abs=0.05) and row["q"] <= 0.05
    assert row["control"] == pytest.approx(0, abs=0.2)
    nothing = crossed(crossings(0.0), 8, resampling(IMAGES)).filter(language="ar", source="en")
    assert nothing["p"].item() > 0.05


def test_every_table_has_its_figure_and_its_sentences() -> None:
    tables = summarise(
        Planted(np.full(len(IMAGES), 2.0)).effects((3, 9), 0), {("first-gendered", "en"): resampling(IMAGES)}
    )
    tables |= {
        "carried": carried(swaps(0.6), 9, resampling(IMAGES)),
        "crossed": crossed(crossings(1.0), 9, resampling(IMAGES)),
    }
    found = figures(tables)
    assert set(found) == {"map", "carried", "crossed"}
    assert all(figure.chart.to_dict() and "interval" in figure.caption for figure in found.values())
    told = {one.name: one for one in estimates(tables, Picked(9, ""), "images")}
    assert verdict_of([told["swap.en.shared"]]) == "found" and told["swap.ar.shared"].verdict == "not found"
    assert told["crossed.en_into_ar.shared"].verdict == "found"
    assert told["share.en.shared"].verdict == "not tested"  # a description


def test_few_signs_and_few_sets_are_told() -> None:
    tables = summarise(
        Planted(np.full(len(IMAGES), 2.0)).effects((3, 9), 0), {("first-gendered", "en"): resampling(IMAGES)}
    )
    tables |= {
        "carried": carried(swaps(0.6), 9, resampling(IMAGES)),
        "crossed": crossed(crossings(1.0), 9, resampling(IMAGES)),
    }
    assert few_signs(tables, 200) == []
    told = "no p is below 0.032, so that q ≤ 5 % needs 3 of the 4 tests as small as that."
    assert few_signs(tables, 30) == [f"table map: {told}", f"table crossed: {told}"]
    assert not any("tests" in told for one in estimates(tables, Picked(9, ""), "images") for told in one.caveats)
    tables["carried"] = carried(swaps(0.6, draws=19), 9, resampling(IMAGES))
    few = {one.name: one.caveats for one in estimates(tables, Picked(9, ""), "images")}
    assert "needs 2 of the 2 tests" in few["swap.en.shared"][0]


def test_the_middle_layer_says_that_it_is_the_middle_one() -> None:
    assert middle_layer((2, 8, 14), "why") == Picked(8, "of 3 layers the middle one, as why")
    assert middle_layer((8,), "why") == Picked(8, "")
