"""Every unit of a study, with its fingerprint, before any of it runs.

A unit's fingerprint depends on its recipe and its inputs' fingerprints alone, so the whole graph follows from the
study, the content of its sources, and (once prepared) the number of images.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.data.known_concepts import asked_concepts
from core.planning.builders import features, rows, saes
from core.planning.left_out import left_out
from core.planning.located import Shape, Sources
from core.planning.naming import Naming, layers_of
from core.planning.study import Study
from core.store.steps import REPORT, stage_of
from core.store.units import Unit

BUILDERS: tuple[Callable[[Naming], Iterator[Unit]], ...] = (
    rows.prepare,
    rows.convert_model,
    rows.capture,
    rows.import_activations,
    rows.extract_layer,
    saes.train_sae,
    saes.import_sae,
    saes.choose_sae,
    features.index_features,
    features.rank_features,
    features.describe_features,
    features.analyses,
    features.report,
)
"""One a step, in the order in which steps run: a builder reads the units of those before it."""


@dataclass(frozen=True)
class Roots:
    """The units that need no other: samples, and the model where it has to be converted first."""

    prepare: Unit
    convert_model: Unit | None

    @property
    def units(self) -> tuple[Unit, ...]:
        """Both, where there are two."""
        return (self.prepare, self.convert_model) if self.convert_model else (self.prepare,)


@dataclass(frozen=True)
class Plan:
    """Every unit of a study, stage by stage."""

    study: Study
    layers: tuple[int, ...]
    stages: Mapping[str, tuple[Unit, ...]]
    """The units by stage, in the order in which stages run; stages without a unit are left out."""
    saes: tuple[Unit, ...]
    """The unit that gives each layer's SAE: the chosen one where several are trained, or someone else's."""
    frozen: tuple[Unit, ...]
    """The unit that gives each layer's frozen dictionary, where the study wants them beside its SAEs."""
    skipped: Mapping[str, str]
    """Why an analysis is left out, by its name."""
    naming: Naming
    """What its units were named from."""

    @property
    def key(self) -> str:
        """The study's name and a part of its report's fingerprint: one per variant of the study."""
        return f"{self.study.name}-{self.report.artifact.fingerprint[:8]}"

    @property
    def report(self) -> Unit:
        """The last unit."""
        return self.stages[REPORT.name][0]

    def record(self) -> dict[str, Any]:
        """What the workspace remembers of the study."""
        return {
            "study": self.study.model_dump(mode="json"),
            "artifacts": sorted({unit.artifact.ref for unit in self}),
            "report": self.report.artifact.ref,
        }

    def stage(self, name: str) -> tuple[Unit, ...]:
        """The units of a stage; none where the study does not take that way."""
        return self.stages.get(name, ())

    def __iter__(self) -> Iterator[Unit]:
        for units in self.stages.values():
            yield from units


def plan_roots(study: Study, sources: Sources) -> Roots:
    """The units that need no other unit's output to be named."""
    package = sources.package
    converted = rows.convert_unit(package, sources.model) if package is not None else None
    return Roots(rows.prepare_unit(study, sources), converted)


def plan_study(study: Study, sources: Sources, shape: Shape) -> Plan:
    """Name every unit of the study.

    Raises:
        BadInput: a layer is beyond the model, or an analysis asks for a layer that is not captured.
    """
    layers = layers_of(study, sources, shape)
    asked = asked_concepts(study.concepts)
    reasons = {concept.name: left_out(study, sources, shape, layers, concept) for concept in asked}
    naming = Naming(study, sources, shape, layers, reasons)
    stages: dict[str, tuple[Unit, ...]] = {}
    for build in BUILDERS:
        for unit in build(naming):
            naming.units[unit.step] = (*naming.units.get(unit.step, ()), unit)
            stages[stage_of(unit.step)] = (*stages.get(stage_of(unit.step), ()), unit)
    return Plan(study, layers, stages, naming.saes, naming.frozen, naming.skipped, naming)
