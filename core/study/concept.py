"""The concepts that a study asks about: two classes of its samples, told by a column, by words, or by both."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from core.study.language import Language
from core.study.section import Section


def _text(value: Any) -> Any:
    """A class as a column's values are read: YAML makes truth values and numbers of `yes` and `1`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else value


def _keys(value: Any) -> Any:
    return {_text(key): inner for key, inner in value.items()} if isinstance(value, dict) else value


Class = Annotated[str, BeforeValidator(_text), Field(min_length=1)]
BOTH, NONE = "both", "none"
"""Labels of captions that are on both sides, and on neither; no class is called so."""
_COLUMNS = ("captions", "count", "feature", "image_id", "language", "layer", "position_set", "sample_id", "split")
Words = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


def reserved(side: str) -> str:
    """What is wrong with a class that is called as a label is."""
    said = "on both sides" if side == BOTH else "on neither side"
    return f"{side!r} is the label of captions that are {said}, and no class; call the class otherwise in the samples"


class StudiedConcept(Section):
    """A concept that a study asks about: two classes of its samples, and the words that captions name them by.

    The concept that is built in needs its name alone.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
    """What the report calls it."""
    column: str | None = None
    """Column of the samples that tells the class; null reads it off the captions, by `words`."""
    positive: Class | None = None
    """The class that scores point to; null takes the first of `words`, or of the column's two values `true`, `yes` or
    `1`, or else the first in order."""
    negative: Class | None = None
    """The other class. Samples of further classes are on neither side."""
    words: Annotated[dict[str, dict[Language, Words]], BeforeValidator(_keys)] = Field(default_factory=dict)
    """For each class, by language, the words that name it, several words in one entry included. Lists of equal length
    in one language pair their words: the first of one class is the counterpart of the first of the other."""

    @field_validator("name")
    @classmethod
    def _is_no_column_of_tables(cls, name: str) -> str:
        if name in _COLUMNS:
            raise ValueError(f"{name!r} is a column of the tables that a study writes; call the concept otherwise")
        return name

    @model_validator(mode="before")
    @classmethod
    def _in_order_of_words(cls, given: Any) -> Any:
        """The classes by name, as the order of a mapping is part of no fingerprint."""
        words = given.get("words") if isinstance(given, dict) else None
        if isinstance(words, dict) and len(words) == 2 and given.get("positive") is None is given.get("negative"):
            return {**given, **dict(zip(("positive", "negative"), words, strict=True))}
        return given

    @model_validator(mode="after")
    def _two_classes(self) -> "StudiedConcept":
        if (self.positive is None) != (self.negative is None):
            raise ValueError("positive and negative belong together; name both or neither")
        if self.positive is not None and self.positive == self.negative:
            raise ValueError(f"positive and negative are both {self.positive!r}; name two classes")
        if taken := next((side for side in self.classes or () if side in (BOTH, NONE)), None):
            raise ValueError(reserved(taken))
        if self.words and set(self.words) != {self.positive, self.negative}:
            said = ", ".join(map(repr, self.words))
            raise ValueError(f"words has the classes {said}; it takes two, called as positive and negative are")
        return self

    @property
    def classes(self) -> tuple[str, str] | None:
        """The positive class and the other; null where the column's values decide."""
        return None if self.positive is None or self.negative is None else (self.positive, self.negative)

    def listed(self, language: Language) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The words of a language, the positive class's before the other's."""
        one, other = (self.words.get(side, {}) for side in self.classes or ("", ""))
        return one.get(language, ()), other.get(language, ())

    def pairs(self, language: Language) -> tuple[tuple[str, str], ...]:
        """Each word of the positive class with its counterpart; none where the two lists differ in length."""
        one, other = self.listed(language)
        return tuple(zip(one, other, strict=True)) if len(one) == len(other) else ()
