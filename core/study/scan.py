"""The section on a concept that is scanned for."""

from typing import Annotated

from pydantic import Field

from core.study.language import Language
from core.study.section import Section


class ConceptConfig(Section):
    """A trait, and the labelled sentences that show how much of it there is."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
    """The concept's name: lower-case letters, digits, - and _, at most 100 of them (files are called after it)."""
    description: Annotated[str, Field(min_length=1)]
    """One sentence that defines the trait and says what each label means for it."""
    sentences: str
    """The table of sentences: .csv or .parquet with `sentence` and `concept_strength_label` (0 to 3); a relative path
    starts at the concept file's folder."""
    language: Language = "en"
    """The sentences' language."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of sentences, in whole families, on which features are not chosen but scored."""
    seed: int = 0
    """Seed of the split."""
