"""A unit of work, named by what decides its result before any of it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from core.store.artifacts import Artifact, fingerprint


@dataclass(frozen=True)
class Unit:
    """One piece of work: a step and its version, its name within the step, the part of the study it reads, and its
    inputs; `knobs` decide how it is done, not what comes out."""

    step: str
    version: int
    name: str
    recipe: Mapping[str, Any]
    inputs: Mapping[str, tuple[Artifact, ...]] = field(default_factory=dict)
    knobs: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def artifact(self) -> Artifact:
        """What the unit makes."""
        refs = {role: [artifact.ref for artifact in artifacts] for role, artifacts in self.inputs.items()}
        return Artifact(self.step, fingerprint(self.step, self.version, self.recipe, refs))

    @property
    def label(self) -> str:
        """`train_sae[17]`, as the Prefect UI and the logs call it."""
        return f"{self.step}[{self.name}]" if self.name else self.step

    def to_json(self) -> dict[str, Any]:
        """The unit as plain JSON: what crosses to a worker."""
        inputs = {role: [artifact.ref for artifact in artifacts] for role, artifacts in self.inputs.items()}
        return {
            "step": self.step,
            "version": self.version,
            "name": self.name,
            "recipe": dict(self.recipe),
            "inputs": inputs,
            "knobs": dict(self.knobs),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Unit":
        """The unit that `to_json` wrote."""
        inputs = {role: tuple(Artifact.from_ref(ref) for ref in refs) for role, refs in raw["inputs"].items()}
        return cls(raw["step"], raw["version"], raw["name"], raw["recipe"], inputs, raw["knobs"])
