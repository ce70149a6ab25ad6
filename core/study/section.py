"""The one base of every section of a study: frozen, strict about unknown keys, documented field by field."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of a study. A sentence beneath each field is its documentation, in the Prefect form too."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
