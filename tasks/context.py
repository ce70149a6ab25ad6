"""What a unit of work is given: its place, its inputs, its knobs, and a way to tell how far it is."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.progress import Progress
from core.store.artifacts import ArtifactStore
from core.store.units import Unit


@dataclass(frozen=True)
class RunContext:
    """What all units of one study run share: plain JSON, so that it crosses to any worker.

    `factory` makes the model where there is no `model_folder`.
    `attempt` counts from 1 how often a unit was sent to a worker; `memory_tier` how often it was given more memory.
    """

    workspace: str
    study: str
    data_base: str
    model_folder: str
    device: str = "auto"
    threads: int = 1
    attempt: int = 1
    memory_tier: int = 0
    languages: tuple[str, ...] = ("en", "ar")
    tracking_uri: str | None = None
    experiment_id: str | None = None
    parent_run_id: str | None = None
    flow_run_id: str | None = None
    factory: str | None = None
    links: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The context as plain JSON."""
        return {**asdict(self), "languages": list(self.languages)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "RunContext":
        """The context that `to_json` wrote."""
        return cls(**{**raw, "languages": tuple(raw["languages"])})

    @property
    def store(self) -> ArtifactStore:
        """The workspace's artefacts."""
        return ArtifactStore(Path(self.workspace) / "artifacts")

    def log_file(self, unit: Unit) -> Path:
        """The unit's log, one file for all its attempts."""
        return Path(self.workspace) / "logs" / unit.step / f"{unit.artifact.fingerprint}.log"


@dataclass(frozen=True)
class Work:
    """One attempt at one unit: read the inputs, write files below `out`, and return metrics.

    `checkpoint` outlives a killed attempt; `run_id` is the unit's MLflow run, null when nothing is tracked.
    """

    unit: Unit
    context: RunContext
    out: Path
    checkpoint: Path
    progress: Progress
    logger: logging.Logger
    run_id: str | None = None

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The part of the study that the unit reads."""
        return self.unit.recipe

    def input(self, role: str) -> Path:
        """The folder of the only input in this role."""
        (artifact,) = self.unit.inputs[role]
        return self.context.store.path(artifact)

    def inputs(self, role: str) -> list[Path]:
        """The folders of all inputs in this role, in the plan's order."""
        return [self.context.store.path(artifact) for artifact in self.unit.inputs[role]]
