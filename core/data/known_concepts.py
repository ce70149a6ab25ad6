"""The concepts that studies ask about: the one that is built in, and those that a study describes."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from core.data.concept import Concept
from core.data.gender_concept import GENDER
from core.data.studied_concept import studied_concept
from core.study.concept import StudiedConcept

THE_CONCEPT = GENDER
"""The concept of a study that names none."""

LABEL_RULES = {"label_rules": 2}
"""What recipes say, beside a study's section, of how labels and attributes of its concept are read. The number rises
where that changes, so that results of before are made again; those of the built-in concept stay."""


def is_built_in(asked: StudiedConcept) -> bool:
    """Whether a study's section names the concept that comes with saeflow."""
    return asked.name == THE_CONCEPT.name


def asked_concepts(concepts: Iterable[StudiedConcept]) -> tuple[StudiedConcept, ...]:
    """The concepts of a study, the one that is built in where it names none."""
    return tuple(concepts) or (StudiedConcept(name=THE_CONCEPT.name),)


def concept_of(recipe: Mapping[str, Any] | str | None, samples: pl.DataFrame) -> Concept:
    """The concept that a unit's recipe names: by its section of the study, or the one that is built in.

    Args:
        recipe: the section as JSON, with `LABEL_RULES` or without; a name or null is the one that is built in.
        samples: those of the study.

    Raises:
        BadInput: the section does not fit the samples.
    """
    if recipe is None or isinstance(recipe, str):
        return THE_CONCEPT
    section = {field: value for field, value in recipe.items() if field not in LABEL_RULES}
    return studied_concept(StudiedConcept.model_validate(section), samples)


def concepts_of(study: Mapping[str, Any], samples: pl.DataFrame) -> tuple[Concept, ...]:
    """The concepts of a study, a `model_dump`, as analyses take them.

    Raises:
        BadInput: a section does not fit the samples.
    """
    asked = asked_concepts(map(StudiedConcept.model_validate, study.get("concepts") or ()))
    return tuple(THE_CONCEPT if is_built_in(one) else studied_concept(one, samples) for one in asked)
