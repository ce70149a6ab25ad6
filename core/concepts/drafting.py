"""What a chat model is asked for when sentences are drafted, and what of its answer can be used."""

import json
import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from core.concepts.families import LABELS
from core.data.table_checks import control_character, is_visible
from core.study.language import Language
from core.study.scan import ConceptConfig

PROMPT_VERSION = 1
"""Counts up when `draft_prompt` changes; kept in the source of every sentence."""
_LANGUAGES: dict[Language, str] = {"en": "English", "ar": "Modern Standard Arabic"}
_MOST_AVOIDED = 100
_FENCE = re.compile(r"^\s*```\w*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


class Draft(NamedTuple):
    """A sentence that no person has seen yet."""

    text: str
    label: int
    family: str


class Parsed(NamedTuple):
    """The scenes of an answer, each with its sentences, and how many parts of it could not be used."""

    scenes: list[list[Draft]]
    malformed: int


def draft_prompt(concept: ConceptConfig, scenes: int, avoided: Sequence[str]) -> str:
    """The question for so many scenes, none of them called like one of `avoided`."""
    lines = [
        "You write sentences for a data set about one trait.",
        f"The trait is {concept.name}. {concept.description}",
        f"Write {scenes} scenes in {_LANGUAGES[concept.language]}. A scene is four sentences, one per label (3, 2, 1, "
        "0), with the same persons and the same place, of nearly the same length, and with as many words in common as "
        "sound natural. Neither length nor single words may give the label away: words of the trait also stand in "
        "sentences with label 1, and rarely in those with label 3.",
        "From scene to scene vary the length (6 to 30 words), setting, tense, and persons, women as often as men.",
        'Answer with JSON alone, a list of objects: {"scene": "one to three words", "3": "…", "2": "…", "1": "…", '
        '"0": "…"}.',
    ]
    if avoided:
        lines.append(f"Other scenes than these: {', '.join(avoided[-_MOST_AVOIDED:])}.")
    return "\n\n".join(lines)


def parse_drafts(answer: str, taken: Collection[str]) -> Parsed:
    """Read an answer; a scene that is called like one of `taken`, or twice the same, gets a number."""
    fenced = _FENCE.match(answer)
    try:
        found = json.loads(fenced[1] if fenced else answer)
    except (ValueError, RecursionError):
        return Parsed([], 1)
    if isinstance(found, dict) and len(found) == 1:
        found = next(iter(found.values()))  # models that may only answer with an object wrap the list
    if not isinstance(found, list):
        return Parsed([], 1)
    scenes: list[list[Draft]] = []
    malformed, names = 0, set(taken)
    for scene in found:
        family = _family(scene, names)
        drafts = [] if family is None else [_draft(scene, label, family) for label in reversed(LABELS)]
        usable = [draft for draft in drafts if draft is not None]
        malformed += len(LABELS) - len(usable) if drafts else 1
        if family is not None and usable:
            names.add(family)
            scenes.append(usable)
    return Parsed(scenes, malformed)


def _family(scene: Any, taken: Collection[str]) -> str | None:
    if not isinstance(scene, dict) or not isinstance(scene.get("scene"), str):
        return None
    name = "-".join(re.findall(r"\w+", scene["scene"].lower()))[:40].strip("-")
    if not name:
        return None
    numbers = (name if number == 1 else f"{name}-{number}" for number in range(1, len(taken) + 2))
    return next(free for free in numbers if free not in taken)


def _draft(scene: Any, label: int, family: str) -> Draft | None:
    text = scene.get(str(label))
    return Draft(" ".join(text.split()), label, family) if isinstance(text, str) and is_usable(text) else None


def is_usable(text: str) -> bool:
    """Whether a reader sees something in the text, and it holds no control characters and can be written."""
    surrogates = any("\ud800" <= char <= "\udfff" for char in text)
    return is_visible(text) and control_character(text) is None and not surrogates
