"""The known-answer world keeps its promises: same seed same world, twins that differ in gender, full agreement."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from core.data import scene_lexicon as lexicon
from core.data.languages import LANGUAGES
from core.data.scene_captions import CORNERS, Content, caption
from core.data.scene_drawing import flipped
from core.data.scenes import (
    SCENE_SCHEMA,
    Scene,
    SceneWorld,
    gendered_pairs,
    generate_scenes,
    realised_female_rates,
    training_scenes,
    unseen_scenes,
)

NUM_SAMPLES, SEED = 240, 5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pl.DataFrame]:
    out = tmp_path_factory.mktemp("world")
    return out, generate_scenes(out, num_samples=NUM_SAMPLES, seed=SEED)


@pytest.fixture(scope="module")
def truth(world: tuple[Path, pl.DataFrame]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((world[0] / "truth.json").read_text(encoding="utf-8"))
    return loaded


def _content(corner: str, profession: int = 0, thing: int = 2) -> Content:
    return Content(
        lexicon.PROFESSIONS[profession],
        lexicon.OBJECTS[thing],
        "red",
        lexicon.PLACES[0],
        lexicon.MOODS[2],
        next(known for known in CORNERS if known == corner),
    )


def test_importing_the_world_loads_no_torch() -> None:
    program = "import sys, core.data.scenes; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_table_has_declared_columns_and_every_row_its_picture(world: tuple[Path, pl.DataFrame]) -> None:
    out, table = world
    assert table.schema == pl.Schema(SCENE_SCHEMA)
    assert table.height == NUM_SAMPLES
    assert table["sample_id"].n_unique() == NUM_SAMPLES
    for name in table["image"]:
        with Image.open(out / name) as picture:
            assert (picture.mode, picture.size) == ("RGB", (96, 96))


def test_same_seed_writes_the_same_bytes(world: tuple[Path, pl.DataFrame], tmp_path: Path) -> None:
    out, table = world
    again = generate_scenes(tmp_path, num_samples=NUM_SAMPLES, seed=SEED)
    assert again.equals(table)
    for name in ["truth.json", *table["image"].head(20)]:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_another_seed_draws_another_world_with_the_same_rates(
    world: tuple[Path, pl.DataFrame], truth: dict[str, Any], tmp_path: Path
) -> None:
    other = generate_scenes(tmp_path, num_samples=NUM_SAMPLES, seed=SEED + 1)
    rates = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))["female_rate_of_neutral"]
    assert rates == truth["female_rate_of_neutral"]
    assert other["caption_en"].to_list() != world[1]["caption_en"].to_list()


@pytest.mark.parametrize("num_samples", [0, 1, 7, 60, 241])
def test_num_samples_counts_all_rows(num_samples: int, tmp_path: Path) -> None:
    assert generate_scenes(tmp_path, num_samples=num_samples, seed=1).height == num_samples


def test_negative_num_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_samples must not be negative, got -1"):
        generate_scenes(tmp_path, num_samples=-1, seed=1)


def test_splits_are_half_and_quarters_and_stratified(world: tuple[Path, pl.DataFrame]) -> None:
    _, table = world
    shares = dict(table.group_by("split").len().iter_rows())
    assert shares == {"train": 120, "select": 60, "test": 60}
    neutral = table.group_by("split").agg((pl.col("visible_gender") == "neutral").mean().alias("share"))
    assert neutral["share"].to_list() == pytest.approx([0.2, 0.2, 0.2], abs=0.01)


def test_twins_share_split_and_everything_but_gender(world: tuple[Path, pl.DataFrame]) -> None:
    _, table = world
    rows = {row["sample_id"]: row for row in table.iter_rows(named=True)}
    kept = ["split", "pair_id", "profession", "skin_tone", "object", "colour", "place", "mood", "place_first"]
    for row in rows.values():
        if row["split"] == "train":
            assert row["twin_id"] is None
            continue
        twin = rows[row["twin_id"]]
        assert twin["twin_id"] == row["sample_id"]
        assert twin["is_flipped"] != row["is_flipped"]
        assert all(twin[name] == row[name] for name in kept)
        assert twin["gender_en"] != row["gender_en"]
        assert twin["gender_ar"] != row["gender_ar"]
        shown = {row["visible_gender"], twin["visible_gender"]}
        assert shown in ({"neutral"}, {"woman", "man"})


def test_twins_differ_in_the_persons_pixels_only(world: tuple[Path, pl.DataFrame]) -> None:
    out, table = world
    rows = {row["sample_id"]: row for row in table.iter_rows(named=True)}
    for row in table.filter(pl.col("is_flipped")).iter_rows(named=True):
        twin = rows[row["twin_id"]]
        one, other = (np.asarray(Image.open(out / each["image"])).astype(int) for each in (row, twin))
        changed = np.argwhere(np.abs(one - other).sum(axis=-1))
        assert (len(changed) == 0) == (row["visible_gender"] == "neutral")
        boxes = np.array([row["person_box"], twin["person_box"]])
        left, top = boxes[:, :2].min(axis=0)
        right, bottom = boxes[:, 2:].max(axis=0)
        assert all(top <= y < bottom and left <= x < right for y, x in changed)


def test_without_twins_no_row_has_one(tmp_path: Path) -> None:
    table = generate_scenes(tmp_path, num_samples=40, seed=2, twins=False)
    assert table["twin_id"].null_count() == 40
    assert not table["is_flipped"].any()
    assert table["pair_id"].n_unique() == 40


def test_boxes_lie_in_the_picture_and_apart(world: tuple[Path, pl.DataFrame]) -> None:
    for row in world[1].iter_rows(named=True):
        boxes = [row["person_box"], row["object_box"], row["place_box"]]
        assert all(0 <= x0 < x1 <= 96 and 0 <= y0 < y1 <= 96 for x0, y0, x1, y1 in boxes)
        for i, a in enumerate(boxes):
            assert all(a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1] for b in boxes[i + 1 :])


def test_place_first_is_the_place_in_the_upper_half_and_opens_both_captions(world: tuple[Path, pl.DataFrame]) -> None:
    places = {place.name: place for place in lexicon.PLACES}
    for row in world[1].iter_rows(named=True):
        _, y0, _, y1 = row["place_box"]
        assert row["place_first"] == ((y0 + y1) / 2 < 48)
        place = places[row["place"]]
        opens = row["caption_en"].lower().startswith(place.en), row["caption_ar"].startswith(place.ar)
        assert opens == (row["place_first"], row["place_first"])


def test_gendered_words_of_truth_stand_where_they_say(world: tuple[Path, pl.DataFrame], truth: dict[str, Any]) -> None:
    rows = {row["sample_id"]: row for row in world[1].iter_rows(named=True)}
    for sample_id, sample in truth["samples"].items():
        row = rows[sample_id]
        for language in LANGUAGES:
            text, words = row[f"caption_{language}"], sample["gendered_words"][language]
            assert words
            assert all(text[word["start"] : word["end"]] == word["word"] for word in words)


def test_swapping_every_gendered_word_gives_the_twins_caption(
    world: tuple[Path, pl.DataFrame], truth: dict[str, Any]
) -> None:
    rows = {row["sample_id"]: row for row in world[1].iter_rows(named=True)}
    for row in world[1].filter(pl.col("twin_id").is_not_null()).iter_rows(named=True):
        for language in LANGUAGES:
            text = row[f"caption_{language}"]
            for word in reversed(truth["samples"][row["sample_id"]]["gendered_words"][language]):
                text = text[: word["start"]] + word["counterpart"] + text[word["end"] :]
            assert text == rows[row["twin_id"]][f"caption_{language}"]


def test_english_sentences_read_as_written() -> None:
    written = {corner: caption(_content(corner), "female", "en").text for corner in CORNERS}
    assert written == {
        "upper left": "At the beach, a tired woman in a doctor's outfit reads her red book.",
        "upper right": "At the beach, a tired doctor reads her red book.",
        "lower left": "The woman is a tired doctor, and she reads her red book at the beach.",
        "lower right": "This is a tired doctor, and she reads her red book at the beach.",
    }
    astronaut = next(i for i, profession in enumerate(lexicon.PROFESSIONS) if profession.name == "astronaut")
    assert "man in an astronaut's outfit" in caption(_content("upper left", astronaut), "male", "en").text


def test_arabic_sentences_agree_throughout() -> None:
    female = {corner: caption(_content(corner), "female", "ar").text for corner in CORNERS}
    male = {corner: caption(_content(corner), "male", "ar").text for corner in CORNERS}
    assert female == {
        "upper left": "على الشاطئ، امرأة متعبة بزي طبيبة تقرأ كتابها الأحمر.",
        "upper right": "على الشاطئ، تقرأ طبيبة متعبة كتابها الأحمر.",
        "lower left": "المرأة طبيبة متعبة، وهي تقرأ كتابها الأحمر على الشاطئ.",
        "lower right": "هذه طبيبة متعبة، وهي تقرأ كتابها الأحمر على الشاطئ.",
    }
    assert male == {
        "upper left": "على الشاطئ، رجل متعب بزي طبيب يقرأ كتابه الأحمر.",
        "upper right": "على الشاطئ، يقرأ طبيب متعب كتابه الأحمر.",
        "lower left": "الرجل طبيب متعب، وهو يقرأ كتابه الأحمر على الشاطئ.",
        "lower right": "هذا طبيب متعب، وهو يقرأ كتابه الأحمر على الشاطئ.",
    }


def test_colour_agrees_with_the_arabic_thing_whoever_owns_it() -> None:
    ball, book = 0, 2
    for gender in lexicon.GENDERS:
        assert "الحمراء" in caption(_content("upper right", thing=ball), gender, "ar").text
        assert "الأحمر" in caption(_content("upper right", thing=book), gender, "ar").text


def test_arabic_feminines_are_the_masculine_with_a_suffix() -> None:
    for pair in (*(p.ar for p in lexicon.PROFESSIONS), *(m.ar for m in lexicon.MOODS)):
        female, male = pair.female.split(" "), pair.male.split(" ")
        assert female[0].startswith(male[0])
        assert female[0].endswith("ة")
        assert female[1:] == male[1:]


def test_lexicon_has_no_word_of_both_genders() -> None:
    for pairs in gendered_pairs().values():
        assert not {pair["female"] for pair in pairs} & {pair["male"] for pair in pairs}


def test_rates_are_the_whole_grid(truth: dict[str, Any]) -> None:
    rates = truth["female_rate_of_neutral"]
    assert len(rates) == 24
    assert sorted(rates.values()) == pytest.approx(np.linspace(0.05, 0.95, 24), abs=1e-4)
    assert list(rates.values()) != sorted(rates.values())


def test_drawn_neutral_captions_follow_the_rates_and_only_them() -> None:
    scenes = unseen_scenes(12_000, 3, neutral_share=1.0)
    planted, realised = SceneWorld().female_rates(), realised_female_rates(scenes)
    assert max(abs(planted[name] - realised[name]) for name in planted) < 0.09
    for attribute in (lambda s: s.content.place.name, lambda s: s.content.colour, lambda s: s.content.corner):
        assert _largest_gap(scenes, attribute) < 0.05


def _largest_gap(scenes: list[Scene], attribute: Any) -> float:
    """The largest difference between two classes' mean of caption gender less its planted rate."""
    planted = SceneWorld().female_rates()
    table = pl.DataFrame(
        {
            "class": [attribute(scene) for scene in scenes],
            "excess": [(scene.gender == "female") - planted[scene.content.profession.name] for scene in scenes],
        }
    )
    means = table.group_by("class").agg(pl.col("excess").mean())["excess"].to_numpy()
    return float(np.ptp(means))


def test_visible_people_are_captioned_as_they_look() -> None:
    gender = {"woman": "female", "man": "male"}
    assert all(scene.gender == gender[scene.visible] for scene in training_scenes(300, 1, neutral_share=0.0))


def test_training_and_study_scenes_never_meet() -> None:
    seen, unseen = training_scenes(400, SEED), unseen_scenes(400, SEED)
    assert {(scene.person.x + scene.person.y) % 2 for scene in seen} == {0}
    assert {(scene.person.x + scene.person.y) % 2 for scene in unseen} == {1}


def test_flipping_twice_gives_the_scene_back() -> None:
    for scene in unseen_scenes(60, 4):
        assert flipped(flipped(scene)) == scene
