"""The study: every knob there is, validated when it is built. Its analyses are those that are declared."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, create_model, model_validator

from core.analysis.declaration import Analysis
from core.analysis.registry import declared
from core.data.known_concepts import THE_CONCEPT
from core.study import variant as names
from core.study.concept import StudiedConcept
from core.study.data import DataSource
from core.study.model import CaptureConfig, IndexConfig, ModelConfig, TrackingConfig
from core.study.sae import SAESection
from core.study.section import Section, added


def _sections() -> dict[str, Any]:
    """One field an analysis: the section that it declares, or null, which leaves it out."""
    return {name: (analysis.config | None, _field(analysis)) for name, analysis in declared().items()}


def _field(analysis: Analysis) -> Any:
    """A section that is null by default is left out of the study's record: other studies stay what they are."""
    default, description = analysis.default(), f"{analysis.title_of(THE_CONCEPT)}."
    return added(None, description=description) if default is None else Field(default, description=description)


if TYPE_CHECKING:
    Analyses = Section
else:
    Analyses = create_model(
        "Analyses", __base__=Section, __module__=__name__, __doc__="The analyses a study runs.", **_sections()
    )


class Study(Section):
    """One question, asked of one model on one set of samples: everything that decides the result."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Short name, used in runs, reports and folders."""
    description: str = ""
    """What is asked, in a sentence; opens the report."""
    variant: Annotated[str, Field(pattern=r"^[^\x00-\x1f]*$")] = ""
    """What sets it apart from the study of the same name; `--set` fills it in."""
    data: DataSource
    """Samples."""
    model: ModelConfig
    """Model."""
    concepts: tuple[StudiedConcept, ...] = added(())
    """Concepts, each analysed on the same activations, SAEs and index; `concept:` takes one alone. Without it the study
    asks about the concept that is built in."""
    capture: CaptureConfig = CaptureConfig()
    """Activations."""
    sae: SAESection = SAESection()
    """Sparse autoencoders."""
    index: IndexConfig = IndexConfig()
    """Feature index."""
    analyses: Analyses = Analyses()
    """Analyses."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the analyses' draws: resamples, permutations and random controls; data and SAEs have their own."""
    tracking: TrackingConfig = TrackingConfig()
    """MLflow."""

    @model_validator(mode="before")
    @classmethod
    def _one_concept(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "concept" not in given:
            return given
        if "concepts" in given:
            raise ValueError("concept and concepts are one field; list all in concepts (concepts.0 is the first)")
        rest = {key: value for key, value in given.items() if key != "concept"}
        return {**rest, "concepts": [given["concept"]]}

    @model_validator(mode="after")
    def _named_once(self) -> "Study":
        called = [one.name for one in self.concepts]
        twice = next((name for name in called if called.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"concepts: two are called {twice!r}; rename one")
        return self

    @property
    def title(self) -> str:
        """`demo · sae.k=32`: the name, and what sets a variant apart."""
        return names.title({"name": self.name, "variant": self.variant})

    @property
    def folder(self) -> str:
        """`demo+sae.k=32`: the same as a folder's name."""
        return names.folder({"name": self.name, "variant": self.variant})
