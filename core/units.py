"""A unit of work, named by what decides its result before any of it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from core.artifacts import Artifact, fingerprint
from core.lm.shape import ModelShape
from core.sae.origins import Trained
from core.steps import STEPS


@dataclass(frozen=True)
class Unit:
    """One piece of work: a step, its name within the step, the part of the study it reads, and its inputs."""

    step: str
    name: str
    recipe: Mapping[str, Any]
    inputs: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)
    knobs: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def artifact(self) -> Artifact:
        """What the unit makes."""
        refs = {role: [artifact.ref for artifact in artifacts] for role, artifacts in self.inputs.items()}
        return Artifact(self.step, fingerprint(self.step, STEPS[self.step].version, self.recipe, refs))

    @property
    def label(self) -> str:
        """`train_sae[17]`, as the Prefect UI and the logs call it."""
        return f"{self.step}[{self.name}]" if self.name else self.step

    def to_json(self) -> dict[str, Any]:
        """The unit as plain JSON: what crosses to a worker."""
        inputs = {role: [artifact.ref for artifact in artifacts] for role, artifacts in self.inputs.items()}
        return {
            "step": self.step,
            "name": self.name,
            "recipe": dict(self.recipe),
            "inputs": inputs,
            "knobs": dict(self.knobs),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Unit":
        """The unit that `to_json` wrote."""
        inputs = {role: tuple(Artifact.from_ref(ref) for ref in refs) for role, refs in raw["inputs"].items()}
        return cls(raw["step"], raw["name"], raw["recipe"], inputs, raw["knobs"])


@dataclass(frozen=True)
class SAESource:
    """Someone else's SAE of a layer: where it lies, what it holds, and where it was trained."""

    folder: Path
    content: str
    trained: Trained = field(default_factory=Trained)


@dataclass(frozen=True)
class Precomputed:
    """Activations made elsewhere: where they lie, what they hold, and which of their layers the study takes."""

    folder: Path
    content: str
    layers: tuple[int, ...]
    rows: int
    d_model: int


@dataclass(frozen=True)
class Sources:
    """The content hashes that a study's first fingerprints are made of; `saes` by field of the study and layer."""

    data: str
    model: str
    package: str | None = None
    saes: Mapping[str, Mapping[int, "SAESource"]] = field(default_factory=dict)
    precomputed: Precomputed | None = None


@dataclass(frozen=True)
class Shape:
    """What must be known before the layers and shards can be named; `vision_…` are of the model's vision tower, and
    `even_images` tells that every image has equally many soft tokens."""

    images: int
    num_layers: int
    d_model: int
    has_images: bool
    vision_layers: int = 0
    vision_width: int = 0
    even_images: bool = True

    @classmethod
    def of(cls, model: ModelShape, images: int, has_images: bool = True) -> "Shape":
        """A study of `images` images, or of as many items where it has none, with that model."""
        seen = has_images and model.has_images
        even = not seen or model.image_tokens > 0
        return cls(images, model.num_layers, model.d_model, seen, model.vision_layers, model.vision_width, even)


@dataclass(frozen=True)
class Roots:
    """The units that need no other: samples, and the model where it has to be converted first."""

    prepare: Unit
    convert_model: Unit | None
