"""Captions of scenes as concepts: labels are those of the words, and a scan can read what is written."""

import re
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from core.concepts.sentences import read_sentences
from core.data.scene_captions import caption
from core.data.scenes import unseen_scenes
from core.planning.concept_file import CONCEPT_FILES, sentences_path
from infra.scene_concepts import CONCEPTS, PLACE_LABELS, spoken, write

SCENES = 12
FEMALE, MALE = {"woman", "she", "her"}, {"man", "he", "his"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("concepts")
    write(out, SCENES, seed=0)
    return out


def table(folder: Path, name: str) -> pl.DataFrame:
    path = folder / f"{name}.yaml"
    concept = CONCEPT_FILES.load(path)
    return read_sentences(sentences_path(concept, path), concept)


@pytest.mark.parametrize("name", sorted(CONCEPTS))
def test_a_scan_reads_them_and_every_scene_is_a_family_of_all_combinations(folder: Path, name: str) -> None:
    found = table(folder, name)
    assert found["family"].n_unique() == SCENES
    for _, scene in found.group_by("family"):
        assert scene.select("gender", "words", "place").n_unique() == scene.height == 16
        assert set(Counter(scene["label"].to_list()).values()) == {4}


@pytest.mark.parametrize("name", sorted(CONCEPTS))
def test_a_label_is_what_the_words_say(folder: Path, name: str) -> None:
    for row in table(folder, name).iter_rows(named=True):
        words = re.findall(r"[a-z]+", row["sentence"].lower())
        female, male = (sum(word in side for word in words) for side in (FEMALE, MALE))
        (place,) = [place for place in PLACE_LABELS if place in words]
        expected = 3 if female == 2 else 2 if female else 1 if male == 1 else 0
        assert min(female, male) == 0 and max(female, male) == int(row["words"])
        assert row["label"] == (expected if "gender" in name else PLACE_LABELS[place])


def test_beginnings_end_with_the_word_that_tells(folder: Path) -> None:
    ends = set(table(folder, "scene-gender-word")["sentence"].str.split(" ").list.last())
    assert ends == {"her", "his", "the"}
    assert set(table(folder, "scene-place-word")["sentence"].str.split(" ").list.last()) == set(PLACE_LABELS)
    assert table(folder, "scene-place")["sentence"].str.ends_with(".").all()


def test_only_a_possessive_can_be_left_out() -> None:
    scene = next(one for one in unseen_scenes(40, 0, neutral_share=0.0) if one.content.corner == "lower left")
    with pytest.raises(ValueError, match="cannot be left out"):
        spoken(caption(scene.content, "female", "en"), 1)
