"""Gender and place as concepts in captions of the known-answer world: `python -m infra.scene_concepts --out FOLDER`.

A family is one scene, whose caption is written in every combination of four ways to speak of a woman or a man with four
places, so that within a family neither label says anything of the other, and two sentences can differ in one of them
alone. `scene-gender` and `scene-place` label the same whole captions; of `scene-gender-word` and `scene-place-word`
each sentence is a caption's beginning that ends with the word that tells the concept last.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from core.concepts.near_duplicates import Known
from core.data.scene_captions import Caption, Corner
from core.data.scene_changes import changed
from core.data.scene_drawing import Scene, draw_scenes

GENDER, PLACE = "gender_label", "place_label"
GENDER_LABELS = {("female", 2): 3, ("female", 1): 2, ("male", 1): 1, ("male", 2): 0}
"""By the caption's gender and how many of its words tell it."""
PLACE_LABELS = {"beach": 3, "desert": 2, "forest": 1, "school": 0}
_OF_GENDER = (
    "The caption speaks of a woman: label 3 by two words (woman or she, and her), label 2 by one of them, label 1 "
    "speaks of a man by one word and label 0 by two."
)
_OF_PLACE = (
    "The scene is at the beach: label 3 is at the beach, label 2 in the desert (sand too), label 1 in the forest "
    "(out of doors), label 0 at the school."
)
_DRAWN = 3000


@dataclass(frozen=True)
class SceneConcept:
    """A concept: its definition, its column of labels, the corners that its captions' places stand in, by turns, and
    how much of a caption a sentence is.

    Captions of the two corners have two gendered words, the other corners' one or three.
    """

    description: str
    label: str
    corners: tuple[Corner, ...] = ("upper left", "lower right")
    cut: Callable[[str, Scene], str] = lambda text, _: text


CONCEPTS = {
    "scene-gender": SceneConcept(_OF_GENDER, GENDER),
    "scene-place": SceneConcept(_OF_PLACE, PLACE),
    "scene-gender-word": SceneConcept(
        _OF_GENDER, GENDER, ("upper left",), lambda text, scene: text[: text.index(f" {scene.content.colour} ")]
    ),
    "scene-place-word": SceneConcept(_OF_PLACE, PLACE, ("lower right",), lambda text, _: text.removesuffix(".")),
}


def spoken(caption: Caption, words: int) -> str:
    """The caption with its first `words` gendered words; a possessive behind them becomes `the`.

    Raises:
        ValueError: a word that is to go is no possessive.
    """
    text = caption.text
    for word in reversed(caption.gendered[words:]):
        if word.kind != "possessive":
            raise ValueError(f"{caption.text!r}: {word.word!r} cannot be left out")
        text = f"{text[: word.start]}the{text[word.end :]}"
    return text


def versions(concept: SceneConcept, scene: Scene, family: str) -> Iterator[dict[str, Any]]:
    """A row for each gender, number of gendered words and place; all else is the scene's."""
    for (gender, words), gender_label in GENDER_LABELS.items():
        for place, place_label in PLACE_LABELS.items():
            own = changed(scene, gender=gender, place=place)
            yield {
                "sentence": concept.cut(spoken(own.caption("en"), words), own),
                "family": family,
                "gender": gender,
                "words": words,
                "place": place,
                GENDER: gender_label,
                PLACE: place_label,
            }


def sentences(concept: SceneConcept, scenes: int, seed: int) -> pl.DataFrame:
    """Rows of `versions` of so many scenes, none a near-duplicate of another in the same version.

    Raises:
        ValueError: there are not so many scenes that are no near-duplicates.
    """
    rows: list[dict[str, Any]] = []
    known = [Known(()) for _ in range(len(GENDER_LABELS) * len(PLACE_LABELS))]
    drawn = draw_scenes(["woman"] * _DRAWN, seed=seed, stream="study")  # versions set the gender
    for number in range(scenes):
        corner = concept.corners[number % len(concept.corners)]
        for scene in drawn:
            placed = replace(scene, content=replace(scene.content, corner=corner))
            own = list(versions(concept, placed, f"scene-{number:02d}"))
            if not any(there.has(row["sentence"]) for there, row in zip(known, own, strict=True)):
                break
        else:
            raise ValueError(f"of {_DRAWN} scenes only {number} are no near-duplicates of each other")
        for there, row in zip(known, own, strict=True):
            there.add(row["sentence"])
        rows += own
    return pl.DataFrame(rows)


def write(out: Path, scenes: int, seed: int) -> None:
    """Write each concept's CSV and YAML into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, concept in CONCEPTS.items():
        table = sentences(concept, scenes, seed).rename({concept.label: "concept_strength_label"})
        table.drop(GENDER, PLACE, strict=False).write_csv(out / f"{name}.csv")
        fields = {"name": name, "description": concept.description, "sentences": f"{name}.csv", "language": "en"}
        (out / f"{name}.yaml").write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to write into")
    parser.add_argument("--scenes", type=int, default=20, help="families of sentences (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes (default: 0)")
    given = parser.parse_args()
    write(given.out, given.scenes, given.seed)
