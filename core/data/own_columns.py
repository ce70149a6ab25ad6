"""Which columns of the samples are a concept itself, and which are other attributes of its images."""

import polars as pl

from core.data.attributes import attribute_columns, attributes_by_image
from core.data.concept import Concept
from core.data.languages import LANGUAGES


def other_attributes(samples: pl.DataFrame, concept: Concept) -> list[str]:
    """Attribute columns of the samples that are not the concept itself: neither its labels, nor what the picture shows
    of it, nor, for a concept that a study describes, those that sort images as it does (`same_as`)."""
    named = _besides_own(samples, concept)
    same = {} if concept.built_in else same_as(samples, concept)
    return [name for name in named if name not in same]


def same_as(samples: pl.DataFrame, concept: Concept) -> dict[str, int]:
    """The attributes that sort images as the concept does in a language: each of two values is one side's alone.

    Args:
        samples: with the concept's labels; a split is not needed.
        concept: says which columns are its own.

    Returns:
        How many images tell so by attribute: those on a side of which the attribute is known. What a feature says of
        one of these attributes and what it says of the concept cannot be told apart.
    """
    names = _besides_own(samples, concept)
    known = attributes_by_image(samples, names)
    found: dict[str, int] = {}
    for language in LANGUAGES:
        if concept.label_column(language) in samples.columns:
            sides = concept.image_sides(samples, language).drop_nulls("positive").join(known, on="image_id")
            found |= {name: sides[name].count() for name in names if _is_same(sides[name], sides["positive"])}
    return found


def _besides_own(samples: pl.DataFrame, concept: Concept) -> list[str]:
    own = {concept.shown[0], concept.name, concept.column, *map(concept.label_column, LANGUAGES)}
    return [name for name in attribute_columns(samples) if name not in own]


def _is_same(values: pl.Series, positive: pl.Series) -> bool:
    both = pl.DataFrame({"value": values, "positive": positive}).drop_nulls().unique()
    return both.height == both["value"].n_unique() == both["positive"].n_unique() == 2
