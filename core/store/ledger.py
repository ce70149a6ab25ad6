"""What a cluster's jobs were given, one line per job, and what units used of it, one line per unit."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from core.store.steps import stage_of
from core.store.units import Unit

_HOUR_S = 3600.0


@dataclass(frozen=True)
class JobCost:
    """One job: what it held and for how long; `state` is how it ended, in the scheduler's words."""

    flow_run: str
    stage: str
    job: str
    node: str
    cpus: int
    gpus: int
    seconds: float
    state: str

    @property
    def cpu_hours(self) -> float:
        """CPUs held times hours."""
        return self.cpus * self.seconds / _HOUR_S

    @property
    def gpu_hours(self) -> float:
        """GPUs held times hours."""
        return self.gpus * self.seconds / _HOUR_S


@dataclass(frozen=True)
class UnitCost:
    """One unit: how long it took, the GPUs of its job times hours, and what it used of its GPU.

    Memory in MiB and utilisation in percent are null where there is no GPU, or no NVML to ask.
    """

    flow_run: str
    stage: str
    unit: str
    artifact: str
    host: str
    wall_seconds: float
    gpu_hours: float
    gpu: str | None = None
    gpu_memory_peak_mib: float | None = None
    gpu_utilisation_mean: float | None = None

    @classmethod
    def of(cls, unit: Unit, flow_run: str, made: Mapping[str, Any]) -> "UnitCost":
        """The cost of a unit, from the provenance in its manifest."""
        gpu = made.get("gpu") or {}
        return cls(
            flow_run=flow_run,
            stage=stage_of(unit.step),
            unit=unit.label,
            artifact=unit.artifact.ref,
            host=str(made["host"]),
            wall_seconds=float(made["wall_seconds"]),
            gpu_hours=float(made["gpu_seconds"]) / _HOUR_S,
            gpu=gpu.get("name"),
            gpu_memory_peak_mib=gpu.get("memory_peak_mib"),
            gpu_utilisation_mean=gpu.get("utilisation_mean"),
        )


Cost = TypeVar("Cost", JobCost, UnitCost)


def ledger_path(workspace: Path, study: str) -> Path:
    """The ledger of a study's jobs: all its runs."""
    return workspace / "accounting" / f"{study}.jsonl"


def unit_ledger_path(workspace: Path, study: str) -> Path:
    """The ledger of what a study's units used: all its runs."""
    return workspace / "accounting" / f"{study}.units.jsonl"


def enter(path: Path, costs: Iterable[JobCost | UnitCost]) -> None:
    """Write jobs or units down; one line each, so that two runs at once spoil nothing."""
    lines = [json.dumps(asdict(cost)) + "\n" for cost in costs]
    if lines:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))


def read(path: Path, kind: type[Cost]) -> Iterator[Cost]:
    """The jobs or units of a ledger; a line that a killed process left half is passed over."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield kind(**json.loads(line))
            except (ValueError, TypeError):
                continue


def hours_by_stage(costs: Iterable[JobCost]) -> Mapping[str, tuple[int, float, float]]:
    """Jobs, CPU-hours and GPU-hours by stage, in the order the stages ran."""
    found: dict[str, tuple[int, float, float]] = {}
    for cost in costs:
        jobs, cpu, gpu = found.get(cost.stage, (0, 0.0, 0.0))
        found[cost.stage] = (jobs + 1, cpu + cost.cpu_hours, gpu + cost.gpu_hours)
    return found
