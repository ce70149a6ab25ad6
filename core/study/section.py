"""The one base of every section of a study: frozen, strict about unknown keys, documented field by field."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of a study. A sentence beneath each field is its documentation, in the Prefect form too."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def added(default: Any, **constraints: Any) -> Any:
    """A field that studies did not have at first: at its default it is left out of the study's record and of what names
    its artefacts, so that studies from before it stay what they are.

    Args:
        default: what the field is where a study does not name it.
        constraints: those of pydantic's `Field`.
    """

    def as_before(value: object) -> bool:
        return type(value) is type(default) and value == default

    return Field(default=default, exclude_if=as_before, **constraints)
