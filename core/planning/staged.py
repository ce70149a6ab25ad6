"""The units of a run that is no study's: a concept scan or a feature catalogue."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from core.store.steps import StepSpec, stage_of
from core.store.units import Unit

Stages = Mapping[str, tuple[Unit, ...]]


@dataclass(frozen=True)
class StagedPlan:
    """Every unit of a run, stage by stage, in the order in which stages run."""

    stages: Stages

    def stage(self, step: StepSpec) -> tuple[Unit, ...]:
        """The units of a step's stage; none where there are none."""
        return self.stages.get(stage_of(step.name), ())

    @property
    def artifacts(self) -> list[str]:
        """The references of all that the units make, for the workspace's record."""
        return sorted({unit.artifact.ref for unit in self})

    def __iter__(self) -> Iterator[Unit]:
        for units in self.stages.values():
            yield from units


def in_stages(units: Iterable[Unit]) -> dict[str, tuple[Unit, ...]]:
    """Units by stage, in the order in which stages first occur."""
    stages: dict[str, tuple[Unit, ...]] = {}
    for unit in units:
        stage = stage_of(unit.step)
        stages[stage] = (*stages.get(stage, ()), unit)
    return stages
