"""One run of a concept scan: survey, MLflow parent run, stages; closed as finished, failed or killed."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from core.concepts.registry import Registry
from core.planning.scan import ScanPlan
from core.planning.scan_survey import ScanSurvey, survey_scan
from core.store.artifacts import Artifact
from core.store.steps import ENCODE_SAE, stage_of
from core.study.concept_scan import ConceptScan
from flows.dispatch import Steps
from flows.frame import Named, logged, marked, open_cluster, tracked
from flows.planned_run import PlannedRun, carried_out
from flows.runtime.profiles import SlurmProfile
from flows.runtime.scans import open_scan, with_fields
from flows.runtime.settings import Settings
from flows.slurm.check import ask_slurm
from flows.stages import StageFailed
from tasks.context import RunContext
from tasks.tracking import flatten

_log = logging.getLogger("saeflow.flows")


@dataclass
class ScanRun(PlannedRun):
    """A concept scan under way."""

    survey: ScanSurvey

    @property
    def plan(self) -> ScanPlan:
        """Every unit of the scan; known once sentences and model are there."""
        if self.survey.plan is None:
            self.survey = self.survey.again(self.settings.workspace)
            assert self.survey.plan is not None, "sentences were read, yet the plan is not known"
            self.learn()
        return self.survey.plan

    def learn(self) -> None:
        """Take in what the plan needed, and record what the scan refers to: `gc` must not take what a stop left."""
        sources = self.survey.sources
        for line in (*sources.warnings, *(f"{why}; it is left out" for why in sources.absent.values())):
            _log.warning("%s", line)
        self.context = replace(self.context, model_folder=str(sources.model.folder or ""))
        self.remember()

    def remember(self) -> None:
        """Record what the scan refers to, and its links."""
        self.settings.workspace.scans.remember(self.plan.key, self.plan.record() | self.links)

    @property
    def published(self) -> tuple[str, Artifact]:
        """The folder's name of its report, and the report."""
        return self.plan.scan.folder, self.plan.report.artifact

    @property
    def headline(self) -> Artifact:
        """The ranking."""
        return self.plan.ranking.artifact

    @property
    def shown(self) -> Sequence[Path]:
        """The report and the best features."""
        store = self.settings.workspace.store
        report = store.path(self.plan.report.artifact) / "report.html"
        return report, store.path(self.headline) / "top_features.parquet"

    def encode(self) -> None:
        """Encode every SAE; one that fails is left out of the ranking, unless the scan is strict or none is left.

        Raises:
            StageFailed: the scan cannot go on.
        """
        units, store = self.plan.encoded, self.settings.workspace.store
        try:
            self.make(stage_of(ENCODE_SAE.name), units)
        except StageFailed as error:
            failed = {unit.name for unit in units if not store.intact(unit.artifact)}
            if self.survey.scan.strict or len(failed) == len(units):
                raise
            why = {key: f"encoding failed (log: {self._log_of(key)})" for key in sorted(failed)}
            _log.warning("%d of %d SAEs are left out of the ranking:\n%s", len(failed), len(units), error)
            self.survey = self.survey.again(self.settings.workspace, why)
            self.remember()

    def _log_of(self, key: str) -> str:
        unit = next(unit for unit in self.plan.encoded if unit.name == key)
        return str(self.context.log_file(unit))


@contextmanager
def scan_run(
    concept: ConceptScan | str, changes: Mapping[str, str | None], cluster: str, steps: Steps
) -> Iterator[ScanRun]:
    """Open a scan and its MLflow run, and close the run as what became of it; `changes` are other values of its fields,
    null where one stays.

    Raises:
        BadInput: the concept, its sources, the profile or the workspace is wrong; one line says what.
    """
    title = concept if isinstance(concept, str) else concept.title
    with marked(title) as settings:
        scan, registry = open_scan(with_fields(concept, changes), settings.workspace)
        named = Named(f"concept-{scan.name}", scan.title, scan.tracking.experiment)
        with logged(settings, named, cluster), _opened(settings, (scan, registry), cluster, steps) as run:
            yield run


@contextmanager
def _opened(settings: Settings, opened: tuple[ConceptScan, Registry], cluster: str, steps: Steps) -> Iterator[ScanRun]:
    profile = open_cluster(cluster, settings)
    seen = survey_scan(*opened, settings.workspace)
    if isinstance(profile, SlurmProfile) and not seen.whole(settings.workspace):
        ask_slurm(profile, settings.workspace.root)
    with tracked(settings, _named(seen), _context(settings, seen)) as context:
        run = ScanRun(settings, profile, context, steps, seen)
        with carried_out(run):
            if seen.plan is not None:
                run.learn()
            yield run


def _named(seen: ScanSurvey) -> Named:
    scan, sources = seen.scan, seen.sources
    tags = {
        "saeflow.study": f"concept-{scan.name}",
        "saeflow.concept": scan.name,
        "saeflow.data": sources.sentences_content,
        "saeflow.weights": sources.model.content,
    }
    params = flatten(scan.model_dump(mode="json"))
    return Named(f"concept-{scan.name}", scan.title, scan.tracking.experiment, params, tags)


def _context(settings: Settings, seen: ScanSurvey) -> RunContext:
    return RunContext(
        workspace=str(settings.workspace.root),
        study=f"concept-{seen.scan.name}",
        data_base=str(seen.sources.sentences.parent),
        model_folder=str(seen.sources.model.folder or ""),
        languages=(seen.scan.language,),
    )
