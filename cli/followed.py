"""What a live table follows: the stages of a run and their units, as far as they are known."""

from typing import Protocol

from core.planning.graph import Plan
from core.planning.naming import FROZEN
from core.planning.one_layer import plan_layer
from core.planning.scan_survey import ScanSurvey
from core.planning.staged import StagedPlan, Stages
from core.planning.survey import Survey, survey
from core.store.workspace import Workspace

_OF_LAYERS = ("extract_layer", "train_sae", "import_sae", "index_features")


class Followed(Protocol):
    """A run whose units become known on the way; `whole` tells that all of them are."""

    @property
    def whole(self) -> bool:
        """Whether every unit is known."""

    def stages(self) -> Stages:
        """The units by stage, in order."""

    def look_again(self) -> None:
        """Find out what became known."""


class FollowedStudy:
    """A study, or one layer of it; `analyses` tells that the layer is analysed."""

    def __init__(self, seen: Survey, workspace: Workspace, layer: int | None = None, analyses: bool = False) -> None:
        self._seen, self._workspace, self._layer, self._analyses = seen, workspace, layer, analyses

    @property
    def whole(self) -> bool:
        """Whether every unit is known."""
        return self._seen.plan is not None

    def stages(self) -> Stages:
        """The units by stage, in order."""
        plan: Plan | None = self._seen.plan
        if plan is None:
            return {"prepare": (self._seen.roots.prepare,)}
        if self._layer is None:
            return plan.stages
        names = (str(self._layer), f"{self._layer}{FROZEN}")
        own = {
            stage: tuple(unit for unit in units if stage not in _OF_LAYERS or unit.name in names)
            for stage, units in plan.stages.items()
            if stage in ("prepare", "capture", *_OF_LAYERS)
        }
        more = plan_layer(plan, self._layer).stages if self._analyses and self._layer in plan.layers else {}
        return {stage: units for stage, units in {**own, **more}.items() if units}

    def look_again(self) -> None:
        """Survey the study again, once samples and model are there."""
        units = self._seen.roots.units
        if len(self._workspace.present(units)) == len(units):
            self._seen = survey(self._seen.study, self._workspace)


class FollowedScan:
    """A concept scan."""

    def __init__(self, seen: ScanSurvey, workspace: Workspace) -> None:
        self._seen, self._workspace = seen, workspace

    @property
    def whole(self) -> bool:
        """Whether every unit is known."""
        return self._seen.plan is not None

    def stages(self) -> Stages:
        """The units by stage, in order."""
        if self._seen.plan is None:
            return {"sentences": (self._seen.roots.sentences, self._seen.roots.split)}
        return self._seen.plan.stages

    def look_again(self) -> None:
        """Survey the scan again, once sentences and model are there."""
        units = self._seen.roots.units
        if len(self._workspace.present(units)) == len(units):
            self._seen = self._seen.again(self._workspace)


class FollowedPlan:
    """A run of which every unit is known when it begins, as a catalogue's."""

    whole = True

    def __init__(self, plan: StagedPlan) -> None:
        self._plan = plan

    def stages(self) -> Stages:
        """The units by stage, in order."""
        return self._plan.stages

    def look_again(self) -> None:
        """Nothing is left to find out."""
