"""A statement about professions draws professions first, then images within each, in the interval and in p."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.ablation import Config as Ablation
from core.analysis.overview import Config as Overview
from core.analysis.overview.emergence import ProbeSetup, read_stream
from core.analysis.overview.unseen import UNSEEN, unseen_estimates, unseen_table
from core.causal.resampling import Resampling, dependence
from core.data.attributes import profession_of_image
from core.data.gender_concept import GENDER
from core.data.known_concepts import THE_CONCEPT
from core.features.inputs import AnalysisInputs
from core.stats.estimate import Estimate
from core.stats.groups_out import groups_out
from core.stats.permuted import sign_flip_p
from core.stats.probes import Labelled
from core.stats.two_level import Nested
from tests.promises.overview_tables import make_samples, make_setup, split_by_split

BEFORE = GENDER.positions.before
IMAGES = [f"i{number}" for number in range(48)]
PROFESSIONS = [f"p{number // 6}" for number in range(48)]


def closed(*_: Any) -> Any:
    raise AssertionError("nothing is opened")


def make_inputs(seed: int = 0) -> AnalysisInputs:
    samples = pl.DataFrame({"sample_id": IMAGES, "image_id": IMAGES, "profession": PROFESSIONS})
    return AnalysisInputs(samples, None, None, (), ("en",), closed, closed, {}, seed, concept=THE_CONCEPT)


def both() -> tuple[Resampling, Resampling]:
    inputs = make_inputs()
    alone = Resampling(inputs, 800)
    return alone, replace(alone, groups=profession_of_image(inputs.samples))


def effects(between: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return between * np.repeat(random.normal(size=8), 6) + random.normal(size=48)


# Effects of interventions


def test_intervals_of_professions_are_wider_where_professions_differ() -> None:
    alone, nested = both()
    values = effects(2.0)
    narrow, wide = (one.mean(values, IMAGES) for one in (alone, nested))
    assert narrow.mean == wide.mean and wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert nested.ratio(values, values + 9, IMAGES) != alone.ratio(values, values + 9, IMAGES)
    assert (alone.over, nested.over) == ("", "profession")


def test_p_flips_the_signs_of_whole_professions() -> None:
    alone, nested = both()
    values, zero = effects(2.0) + 1, np.zeros(48)
    codes = np.repeat(np.arange(8), 6)
    assert nested.beside(values, zero, IMAGES)["p"] == sign_flip_p(values, 800, 0, codes)
    assert nested.beside(values, zero, IMAGES)["p"] > alone.beside(values, zero, IMAGES)["p"]  # type: ignore[operator]
    assert nested.beside(values, zero, IMAGES)["units"] == 8


def test_null_effects_are_claimed_as_seldom_as_they_may_be() -> None:
    """Professions differ, none on average: images by themselves claim an effect in many worlds."""
    alone, nested = both()
    claimed = {"images": 0, "professions": 0}
    for seed in range(40):
        values = effects(2.0, seed)
        for name, one in (("images", alone), ("professions", nested)):
            low, _, high = one.mean(values, IMAGES)
            found = one.beside(values, np.zeros(48), IMAGES)["p"]
            claimed[name] += not low <= 0 <= high and found <= 0.05  # type: ignore[operator]
    assert claimed["images"] >= 10 and claimed["professions"] <= 4


def test_the_caveat_says_what_is_drawn() -> None:
    row = {"images": 48, "units": 8}
    assert dependence(row, "test images", "profession") == (
        "the interval draws 8 professions first, then test images within each; so does p",
    )


def test_a_study_that_does_not_ask_is_the_same_study() -> None:
    for config in (Overview(), Ablation()):
        assert "professions" not in config.model_dump() and not config.professions
    assert Overview(professions=True).model_dump()["professions"] is True
    alone, _ = both()
    assert alone.drawn(IMAGES).tolist() == alone.units(IMAGES).tolist()  # type: ignore[union-attr]


# Probes of professions that they were trained without


def world(spread: float, images: int = 360, seed: int = 0) -> tuple[Any, ProbeSetup]:
    """Professions that show gender by as much as each one's own number says."""
    random = np.random.default_rng(seed)
    samples = make_samples(images)
    profession = np.arange(images) // 6 % 12
    sides = (samples["gender_en"] == "female").to_numpy()
    strength = 1.0 + spread * random.normal(size=12)
    x = np.stack([np.where(sides, 0.5, -0.5) * strength[profession], random.normal(size=images)], axis=1)
    x += 0.7 * random.normal(size=x.shape)
    setup = make_setup(samples, draws=99)
    parts = {}
    for split in ("train", "select", "test"):
        of = (samples["split"] == split).to_numpy()
        parts[split] = Labelled(x[of], sides[of], profession[of], np.zeros(of.sum(), np.int64), np.flatnonzero(of))
    names = samples.filter(split="test")["image_id"].to_list()
    units = split_by_split(names, {s: p.x for s, p in parts.items()}, {s: p.y for s, p in parts.items()})
    return replace(units, **parts), replace(setup, unseen=True)


def measured(spread: float, seed: int = 0) -> dict[str, Any]:
    units, setup = world(spread, seed=seed)
    rows, _ = read_stream(units, setup, "en")
    return rows[-1]


def test_the_interval_draws_professions_and_the_value_is_the_one_that_stands_alone() -> None:
    row = measured(1.5)
    assert row["unseen"]["auroc"] == row["professions_out"] and row["unseen"]["professions"] == 12
    units, _ = world(1.5)
    train, test = units.train, units.test
    found = groups_out(train, test, 0.1)
    assert found is not None and test.units is not None and test.groups is not None
    nested = found.interval(Nested.of(test.groups.tolist(), test.units), 400, 0)
    alone = found.interval(Nested.of(np.arange(len(test.y)).tolist(), test.units), 400, 0)
    assert nested.high - nested.low > 1.2 * (alone.high - alone.low)
    assert row["unseen"]["low"] < nested.mean < row["unseen"]["high"]


def test_where_nothing_is_read_nothing_is_found_and_without_the_setting_nothing_is_measured() -> None:
    units, setup = world(0.0)
    plain, _ = read_stream(units, replace(setup, unseen=False), "en")
    assert "unseen" not in plain[-1]
    noise, random = units, np.random.default_rng(0)
    for split in ("train", "select", "test"):
        part = getattr(noise, split)
        noise = replace(noise, **{split: replace(part, x=random.normal(size=part.x.shape))})
    rows, _ = read_stream(noise, setup, "en")
    assert rows[-1]["unseen"]["p"] > 0.05
    assert rows[-1]["unseen"]["shuffled_low"] < 0.5 < rows[-1]["unseen"]["shuffled_high"]


@pytest.fixture(scope="module")
def estimate() -> Estimate:
    row = {"layer": 2, "language": "en", "position_set": BEFORE, "decision": True, **measured(0.3)}
    weak = {**row, "layer": 3, "unseen": {**row["unseen"], "p": 0.5}}
    peaks = pl.DataFrame([row], schema={name: UNSEEN[name] for name in ("layer", "language", "position_set")})
    table = unseen_table([row, weak], peaks.with_columns(chosen=pl.lit(True)), GENDER)
    assert table["layer"].to_list() == [2, 3] and table["q"].is_null().to_list() == [False, True]
    (found,) = unseen_estimates(make_inputs(), table, 99)
    return found


def test_it_is_claimed_at_the_layer_that_the_selection_split_picks(estimate: Estimate) -> None:
    assert (estimate.layer, estimate.name) == (2, f"unseen.{BEFORE}.en")
    assert estimate.verdict == "found" and estimate.family == "1 curve"
    assert estimate.caveats == ("the interval draws 12 professions first, then images within each",)
