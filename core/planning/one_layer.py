"""One layer alone: the analyses that need no other layer, and a report of what they and its SAE show."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.planning.builders.features import analyses_run, analysis_unit, describe_unit, rank_unit, told
from core.planning.graph import Plan
from core.planning.naming import Naming
from core.store.steps import ANALYSE, DESCRIBE_FEATURES, EXTRACT_LAYER, INDEX_FEATURES, RANK_FEATURES, REPORT
from core.store.units import Unit
from core.study import variant


@dataclass(frozen=True)
class LayerPlan:
    """The units of one layer's report beside those of its study."""

    plan: Plan
    layer: int
    ranked: tuple[Unit, ...]
    """Of the SAE's features, one per concept."""
    described: tuple[Unit, ...]
    """Of the SAE's features, and of the frozen dictionary's where there is one."""
    analyses: tuple[Unit, ...]
    report: Unit

    @property
    def stages(self) -> Mapping[str, tuple[Unit, ...]]:
        """The units by stage, in the order in which stages run."""
        units = {RANK_FEATURES.name: self.ranked, DESCRIBE_FEATURES.name: self.described}
        return {**units, ANALYSE: self.analyses, REPORT.name: (self.report,)}

    @property
    def key(self) -> str:
        """As a study's key, with the layer."""
        return f"{self.plan.study.name}-layer{self.layer}-{self.report.artifact.fingerprint[:8]}"

    @property
    def folder(self) -> str:
        """Where its report is found below `reports`."""
        return variant.folder({"name": self.plan.study.name, "variant": self.plan.study.variant, "layer": self.layer})

    def record(self) -> dict[str, Any]:
        """What the workspace remembers of it."""
        artifacts = {unit.artifact.ref for unit in self}
        study = self.plan.study.model_dump(mode="json")
        return {"study": study, "layer": self.layer, "artifacts": sorted(artifacts), "report": self.report.artifact.ref}

    def __iter__(self) -> Iterator[Unit]:
        """Its own units and all that they are made from."""
        naming = self.plan.naming
        for stage in ("prepare", "capture"):
            yield from self.plan.stage(stage)
        yield naming.of_layer(EXTRACT_LAYER, self.layer)
        for one in naming.dictionaries_of(self.layer):
            yield from (one.sae, naming.named(INDEX_FEATURES, one.name))
        for units in self.stages.values():
            yield from units


def plan_layer(plan: Plan, layer: int) -> LayerPlan:
    """Name the units of one layer's report; an analysis that the study runs on this layer alone is the study's own."""
    naming = plan.naming
    ranked = tuple(rank_unit(naming, layer, concept) for concept in naming.concepts)
    analyses = tuple(
        analysis_unit(naming, analysis, (layer,), concept)
        for concept in naming.concepts
        for analysis in analyses_run(naming, concept)
        if "layers" not in analysis.needs
    )
    described = tuple(describe_unit(naming, one) for one in naming.dictionaries_of(layer))
    return LayerPlan(plan, layer, ranked, described, analyses, _report(naming, layer, analyses))


def _report(naming: Naming, layer: int, analyses: tuple[Unit, ...]) -> Unit:
    several = {
        analysis.name: "it compares layers, and this is the report of one"
        for concept in naming.concepts
        for analysis in analyses_run(naming, concept)
        if "layers" in analysis.needs
    }
    sae, *frozen = (one.sae.artifact for one in naming.dictionaries_of(layer))
    inputs = {
        "samples": naming.samples,
        "layer": (naming.of_layer(EXTRACT_LAYER, layer).artifact,),
        "sae": (sae,),
        **({"frozen": tuple(frozen)} if frozen else {}),
        **({"analyses": tuple(unit.artifact for unit in analyses)} if analyses else {}),
    }
    recipe = {"study": {**told(naming), "layer": layer}, "skipped": {**naming.skipped, **several}, "sweep": []}
    return REPORT.unit(f"{layer}", recipe, inputs)
