"""Inputs that differ in one thing: scenes with another value of an attribute, captions with another word."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import polars as pl

from core.data.languages import Language
from core.data.scene_changes import changed, values_of
from core.data.scene_drawing import Scene, SceneWorld, paint
from core.errors import BadInput
from core.lm.prompts import CaptionRequest

BETWEEN = " × "
"""What stands between the values of several attributes."""


@dataclass(frozen=True)
class Variation:
    """An image that is run with one value."""

    image_id: str
    value: str
    request: CaptionRequest


def scene_variations(
    scenes: Mapping[str, Scene], attributes: Sequence[str], instruction: str, language: Language, folder: Path
) -> Iterator[Variation]:
    """Every scene with every value of some attributes, picture and caption; the pictures are written into `folder`.

    Raises:
        BadInput: nothing of that name can be changed.
    """
    world = SceneWorld()
    for name, scene in scenes.items():
        for number, values in enumerate(product(*map(values_of, attributes))):
            other = changed(scene, **dict(zip(attributes, values, strict=True)))
            key = f"{name}-{number}"
            image = folder / f"{key}.png"
            paint(other, world).save(image)
            request = CaptionRequest(key, key, language, other.caption(language).text, instruction, image)
            yield Variation(name, BETWEEN.join(values), request)


def word_variations(
    samples: pl.DataFrame, language: Language, words: Sequence[str], instruction: str, picture: Callable[[str], Path]
) -> Iterator[Variation]:
    """Every sample whose caption has the first of `words`, with each of them in its place.

    Args:
        samples: sample_id, image_id, image and the captions; `image` is null in a study of text.
        language: of the captions.
        words: whole words, upper and lower case apart.
        instruction: before the caption.
        picture: the file of what `image` names.

    Raises:
        BadInput: no caption has the word.
    """
    word = re.compile(rf"(?<!\w){re.escape(words[0])}(?!\w)")
    captions = samples.select("sample_id", "image_id", "image", pl.col(f"caption_{language}").alias("caption"))
    found = [row for row in captions.iter_rows(named=True) if row["caption"] and word.search(row["caption"])]
    if not found:
        raise BadInput(f"no {language} caption has the word {words[0]!r} (upper and lower case are told apart)")
    for row in found:
        image = None if row["image"] is None else picture(row["image"])
        for number, other in enumerate(words):
            key, caption = f"{row['sample_id']}-{number}", word.sub(other.replace("\\", r"\\"), row["caption"])
            yield Variation(row["image_id"], other, CaptionRequest(key, key, language, caption, instruction, image))
