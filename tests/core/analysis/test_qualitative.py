from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from core.analysis.qualitative import Config as QualitativeConfig
from core.analysis.qualitative.figures import figures
from core.analysis.qualitative.gallery import CHANGED, RULES, pick_images
from core.analysis.qualitative.gender_changes import away_from, changes_by_image, gender_changes, turned
from core.analysis.qualitative.run import GALLERY
from core.analysis.qualitative.run import run as qualitative
from core.analysis.result import Result
from tests.core.causal.causal_world import BOX, CAPTIONS, LAYER, SIDE, CausalWorld, causal_world

CONFIG = QualitativeConfig(layer=LAYER, features=2, images=4, max_new_tokens=4)


@pytest.fixture(scope="module")
def world(tiny_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CausalWorld]:
    with causal_world(tiny_gemma, tmp_path_factory.mktemp("causal") / "w", {"select": 12, "test": 8}) as opened:
        yield opened


@pytest.fixture(scope="module")
def result(world: CausalWorld) -> Result:
    return qualitative(world.inputs, CONFIG)


def test_the_gallery_has_the_contracts_columns_and_a_row_a_language(result: Result) -> None:
    gallery = result.tables["gallery"]
    assert gallery.schema == GALLERY
    assert gallery.group_by("sample_id").len()["len"].to_list() == [2] * 4
    assert set(gallery["rule"]) <= set(RULES)
    assert gallery["sample_id"].str.starts_with("test-").all()


def test_strips_spell_the_reference_and_heat_follows_the_planted_feature(result: Result) -> None:
    for row in result.tables["gallery"].iter_rows(named=True):
        assert "".join(piece["token"] for piece in row["strip"]) == row["reference"]
        assert row["reference"] in CAPTIONS[row["language"]].values()
        assert all(piece["value"] > 30 for piece in row["strip"])
        assert len(row["map"]) == SIDE**2


def test_maps_are_of_the_shown_features(world: CausalWorld, result: Result) -> None:
    """The features shown speak of what is said, not of what is seen in the box."""
    heat = result.tables["gallery"]["map"][0]
    assert max(heat[cell] for cell in BOX) < 1


def test_captions_are_written_in_every_condition(result: Result) -> None:
    captions = result.tables["captions"]
    written = captions.select(pl.col("clean", "ablated", "amplified", "random", "random_amplified").is_null().any())
    assert written.row(0) == (False,) * 5
    assert set(captions["random"].list.len()) == set(captions["random_amplified"].list.len()) == {3}
    assert (captions["clean"] != captions["amplified"]).any()


def test_amplification_names_its_dose(result: Result) -> None:
    assert any("Amplified at dose" in note for note in result.notes)


def test_every_language_and_intervention_is_compared_with_random_sets(result: Result) -> None:
    answers = {one.name: one for one in result.estimates}
    assert set(answers) == {f"changed.{name}.{one}" for name in ("ablated", "amplified") for one in ("en", "ar")}
    for one in answers.values():
        row = result.tables["differences"].filter(**one.source.key)
        assert row[one.source.column].item() == one.value
        assert one.control is not None and one.control.draws == 3


def test_the_same_run_gives_the_same_gallery(world: CausalWorld, result: Result) -> None:
    assert qualitative(world.inputs, CONFIG).tables["gallery"].equals(result.tables["gallery"])


def test_changes_count_captions_that_speak_of_the_other_gender() -> None:
    rows = {
        "language": ["en"] * 4,
        "image_id": ["a", "b", "c", "d"],
        "clean": ["a woman runs", "a man runs", "a dog runs", "she sings"],
        "ablated": ["a man runs", "a man runs", "a man runs", "sings"],
        "amplified": ["he", "she", "she", "he"],
        "random": [[]] * 4,
        "random_amplified": [[]] * 4,
    }
    empty = {name: pl.List(pl.String) for name in ("random", "random_amplified")}
    by_image = changes_by_image(pl.DataFrame(rows, schema_overrides=empty))
    found = {row["condition"]: (row["rate"], row["images"]) for row in gender_changes(by_image).iter_rows(named=True)}
    assert found == {"ablated": (pytest.approx(1 / 3), 3), "amplified": (1, 3)}


def test_steering_turns_away_from_the_gender_of_the_clean_caption() -> None:
    assert away_from("a woman runs", "en", otherwise=1) == -1
    assert away_from("رجل يقرأ", "ar", otherwise=-1) == 1
    assert away_from("a dog runs", "en", otherwise=-1) == -1


def test_images_are_picked_by_rule() -> None:
    effects = {"a": 5.0, "b": 2.0, "c": 0.1, "d": -1.0, "e": 1.0}
    picked = pick_images(effects, 4)
    assert picked == {"a": RULES[0], "e": RULES[1], "c": RULES[2], "d": RULES[3]}
    assert pick_images({"a": 1.0, "b": 2.0}, 4) == {"b": RULES[0], "a": RULES[1]}
    assert pick_images({}, 4) == {}


def test_images_whose_captions_change_come_first_and_take_half_the_gallery() -> None:
    effects = {"a": 4.0, "b": 3.0, "c": 0.5, "d": -1.0, "e": 0.1}
    picked = pick_images(effects, 4, {"c", "e", "d"})
    assert picked == {"c": CHANGED, "e": CHANGED, "a": RULES[0], "d": RULES[1]}
    captions = pl.DataFrame(
        {
            "image_id": ["i", "j", "k"],
            "language": "en",
            "clean": "a woman cooks",
            "ablated": ["a woman cooks", "a man cooks", "a woman cooks"],
            "amplified": "a woman cooks",
            "random": [["a woman cooks"], ["a woman cooks"], ["a man cooks"]],
            "random_amplified": [["a woman cooks"]] * 3,
        }
    )
    assert turned(changes_by_image(captions)) == {"j"}, "what random sets change is no change of the features'"


def test_without_any_pair_the_result_says_so(world: CausalWorld) -> None:
    samples = world.samples.with_columns(pl.lit("neutral").alias("visible_gender"))
    found = qualitative(replace(world.inputs, samples=samples), CONFIG)
    assert found.tables["gallery"].is_empty()
    assert found.estimates == ()
    assert figures(found.tables) == {}
