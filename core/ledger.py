"""What a cluster's jobs were given, a line a job: beside what units used, it tells what was asked for in vain."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from core.steps import ANALYSES, CAPTURE, CONVERT_MODEL, IMPORT_ACTIVATIONS, PREPARE

STAGES = {
    **{spec.name: "analyse" for spec in ANALYSES},
    CONVERT_MODEL.name: PREPARE.name,
    IMPORT_ACTIVATIONS.name: CAPTURE.name,
}
"""The stage of a step, where it has another name than the step."""
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


def ledger_path(workspace: Path, study: str) -> Path:
    """The ledger of a study: all its runs."""
    return workspace / "accounting" / f"{study}.jsonl"


def enter(path: Path, costs: Iterable[JobCost]) -> None:
    """Write jobs down; one line a job, so that two runs at once spoil nothing."""
    lines = [json.dumps(asdict(cost)) + "\n" for cost in costs]
    if lines:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))


def read(path: Path) -> Iterator[JobCost]:
    """The jobs of a ledger; a line that a killed process left half is passed over."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield JobCost(**json.loads(line))
            except (ValueError, TypeError):
                continue


def hours_by_stage(costs: Iterable[JobCost]) -> Mapping[str, tuple[int, float, float]]:
    """Jobs, CPU-hours and GPU-hours by stage, in the order the stages ran."""
    found: dict[str, tuple[int, float, float]] = {}
    for cost in costs:
        jobs, cpu, gpu = found.get(cost.stage, (0, 0.0, 0.0))
        found[cost.stage] = (jobs + 1, cpu + cost.cpu_hours, gpu + cost.gpu_hours)
    return found
