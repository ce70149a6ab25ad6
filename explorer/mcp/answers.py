"""What the tools return: pydantic models, whose schemas a client is told."""

from typing import Any

from pydantic import BaseModel, Field

from explorer.asking.answer import Answer


class Told(BaseModel):
    """Sentences and tables about features. Each sentence claims only what its numbers support."""

    title: str = Field(description="What is looked at: the features, their layer and their study.")
    lines: list[str] = Field(description="What may be said, each with its control and its corrected p.")
    tables: dict[str, list[dict[str, Any]]] = Field(description="The numbers behind it, by name, a row each.")

    @classmethod
    def of(cls, answer: Answer) -> "Told":
        """The answer as a model."""
        return cls.model_validate(answer.as_json())


class Dossier(BaseModel):
    """Everything that can be asked of one feature."""

    markdown: str = Field(description="A proposed label, evidence for and against, and all tables.")


class StudyFound(BaseModel):
    """A study that has run."""

    key: str = Field(description="What the other tools take as `study`.")
    title: str
    layers: list[int] = Field(description="The layers that can be looked at.")
    languages: list[str]
    finished: bool = Field(description="Whether its report is there.")


class StudiesFound(BaseModel):
    """The studies of the workspace, the latest first."""

    studies: list[StudyFound]
