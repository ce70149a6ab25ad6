"""The causal map in the planted world: rows behind the picture decide the word, by two features of both languages."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest
import torch

from core.analysis.causal_map import Config
from core.analysis.causal_map.figures import figures
from core.analysis.causal_map.run import run
from core.analysis.result import Result
from core.causal.interchange import Donors
from core.causal.pairs import choose_samples, find_pairs
from core.causal.runs import PairRuns
from core.lm.outcomes import word_ends
from core.stats.estimate import verdict_of
from tests.core.causal.causal_world import LAYER, MALE, SAID, CausalWorld
from tests.core.causal.sourced import assert_sourced

CONFIG = Config(layers=(LAYER,), images=4, donors=1, features=2, draws=19, bootstrap=200)


@pytest.fixture(scope="session")
def world(shared_causal_world: CausalWorld) -> CausalWorld:
    return shared_causal_world


@pytest.fixture(scope="module")
def result(world: CausalWorld) -> Result:
    """The same dictionary stands in for the frozen one."""
    return run(replace(world.inputs, open_frozen=world.inputs.open_layer), CONFIG)


def rows(result: Result, table: str, **where: Any) -> pl.DataFrame:
    found = result.tables[table].filter(**where)
    assert found.height
    return found


def test_the_last_row_before_the_word_decides_and_the_picture_no_longer_does(result: Result) -> None:
    """English words follow `In a`, behind whose rows the last prompt token is passed over."""
    before = rows(result, "map", positions="pre-gender")
    assert (before["share"] > 0.9).all() and (before["low"] > 0).all()
    for passed_over in ("image", "last-prompt", "instruction"):
        assert (rows(result, "map", positions=passed_over)["share"].abs() < 0.1).all()


def test_another_picture_of_the_same_gender_does_nothing(result: Result) -> None:
    before = rows(result, "map", positions="pre-gender")
    assert (before["control"].abs() < 0.1 * before["effect"]).all()


def test_everything_at_once_is_what_showing_the_twin_does(world: CausalWorld, result: Result) -> None:
    loaded = world.inputs.open_model()
    chosen, ends = choose_samples(world.inputs, CONFIG.images), word_ends(loaded)
    pairs, _ = find_pairs(world.inputs, loaded, chosen.captions, "en")
    own, twin = (PairRuns(loaded, some, ends) for some in (pairs, [pair.with_twin_image() for pair in pairs]))
    odds = [runs.log_odds(LAYER, runs.streams(LAYER)) for runs in (own, twin)]
    shift = [pair.sign * (after - before) for pair, before, after in zip(pairs, *odds, strict=True)]
    ceiling = rows(result, "ceiling", language="en", outcome="first-gendered")
    assert ceiling["effect"].item() == pytest.approx(sum(shift) / len(shift), rel=1e-4)


def test_the_planted_features_are_shared_and_carry_the_decision(result: Result) -> None:
    shared = rows(result, "classes", **{"class": "shared"})
    assert set(shared["feature"][:2]) == {SAID, MALE + SAID}
    carried = rows(result, "carried", swapped="shared", dictionary="SAE")
    assert (carried["share"] > 0.9).all() and (carried["kept"] > 0.9).all()
    assert (carried["control"].abs() < 0.1 * carried["effect"]).all()
    balance = rows(result, "balance", measure="firing rate", **{"class": "shared"})
    assert (balance["caliper"] <= 2).all() and (balance["drawn"] / balance["chosen"]).is_between(0.5, 2).all()


def test_all_features_and_what_they_leave_out_are_the_whole_rows(result: Result) -> None:
    for language in ("en", "ar"):
        effect = {
            row["swapped"]: row["effect"]
            for row in rows(result, "carried", language=language, dictionary="SAE").to_dicts()
        }
        assert effect["all features"] == pytest.approx(effect["whole rows"], rel=1e-3)
        assert abs(effect["SAE error"]) < 1e-2 * effect["whole rows"]


def test_english_features_of_the_twin_flip_the_arabic_word_and_those_of_the_image_do_not(result: Result) -> None:
    crossed = rows(result, "crossed", language="ar", source="en", features="shared")
    assert crossed["share"].item() > 0.9
    assert abs(crossed["control"].item()) < 0.1 * crossed["effect"].item()


def test_every_finding_names_its_entry_and_effects_are_found(result: Result) -> None:
    assert_sourced(result)
    for language in ("en", "ar"):
        assert verdict_of(one for one in result.estimates if one.answers and one.language == language) != "not found"
    assert set(figures(result.tables)) == {"map", "carried", "crossed"}


def test_the_frozen_dictionary_stands_beside_the_sae(result: Result) -> None:
    both = rows(result, "carried", swapped="shared")
    assert set(both["dictionary"]) == {"SAE", "frozen"}
    assert both.filter(dictionary="SAE")["better"].to_list() == pytest.approx([0, 0], abs=1e-6)
    assert both.filter(dictionary="frozen")["better"].is_null().all()


def replace_config(**fields: Any) -> Config:
    return CONFIG.model_copy(update={"images": 2, **fields})


def test_one_language_has_a_map_and_no_classes(world: CausalWorld) -> None:
    found = run(replace(world.inputs, languages=("en",)), replace_config())
    assert found.tables["map"].height and found.tables["carried"].is_empty()
    assert any(note.startswith("One language") for note in found.notes)
    assert set(figures(found.tables)) == {"map"}


def test_one_of_the_two_planted_features_carries_half_and_stands_beside_both(world: CausalWorld) -> None:
    found = run(world.inputs, CONFIG.model_copy(update={"features": 1, "second_features": 2}))
    one, both = (rows(found, table, swapped="shared", dictionary="SAE") for table in ("carried", "second"))
    assert (both["features"] == 2).all() and (one["share"] / both["share"]).is_between(0.35, 0.65).all()
    assert (both["draws"] == 19).all() and both["q"].is_not_null().all()
    second = {each.name: each for each in found.estimates if each.name.startswith("swap_second.")}
    assert set(second) == {"swap_second.en.shared", "swap_second.ar.shared"}
    assert all("2 features of them" in each.condition and not each.answers for each in second.values())
    assert_sourced(found)


def test_a_second_number_is_off_by_default(result: Result) -> None:
    assert "second" not in result.tables and "second_features" not in Config().model_dump()


def test_without_twins_nothing_is_measured(world: CausalWorld) -> None:
    alone = world.samples.with_columns(pl.lit(None, pl.String).alias("twin_id"))
    found = run(replace(world.inputs, samples=alone), replace_config())
    assert found.tables["map"].is_empty() and not found.estimates and figures(found.tables) == {}


def test_a_donor_with_the_same_picture_and_words_changes_nothing(world: CausalWorld) -> None:
    loaded = world.inputs.open_model()
    pairs, _ = find_pairs(world.inputs, loaded, choose_samples(world.inputs, 2).captions, "ar")
    runs = PairRuns(loaded, pairs, word_ends(loaded))
    for given, stream in zip(Donors(loaded, runs, pairs).after(LAYER), runs.streams(LAYER), strict=True):
        everywhere = torch.ones(stream.shape[:2], dtype=torch.bool)
        torch.testing.assert_close(given.into(stream, everywhere), stream)
