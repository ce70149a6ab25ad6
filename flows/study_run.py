"""One run of a study: survey, MLflow parent run, stages; closed as finished, failed or killed."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from prefect.artifacts import create_markdown_artifact

from core.planning.graph import Plan
from core.planning.one_layer import LayerPlan
from core.planning.study import Study
from core.planning.survey import Survey, survey
from core.store.units import Unit
from flows.dispatch import Steps
from flows.frame import Named, closing, logged, marked, mlflow_page, open_cluster, tracked
from flows.runtime.profiles import Profile, SlurmProfile
from flows.runtime.settings import Settings, open_study
from flows.slurm.check import ask_slurm
from flows.stages import run_stage
from flows.summary import hours_asked, summarise
from flows.titles import title_of
from tasks.context import RunContext
from tasks.experiment import mlflow_errors_in_a_line
from tasks.tracking import close_parent, flatten, is_deleted, log_by_layer, log_file, tag_run

_log = logging.getLogger("saeflow.flows")


@dataclass
class StudyRun:
    """A study under way."""

    settings: Settings
    survey: Survey
    profile: Profile
    context: RunContext
    steps: Steps
    layer: int | None = None
    """The only layer that is made; null where all are."""
    metrics: dict[str, float] = field(default_factory=dict)
    layer_plan: LayerPlan | None = None
    """The report of one layer, where that was asked for."""

    @property
    def plan(self) -> Plan:
        """Every unit of the study; known once samples and model are there."""
        if self.survey.plan is None:
            self.survey = survey(self.survey.study, self.settings.workspace)
            assert self.survey.plan is not None, "samples were prepared, yet the plan is not known"
            self._learn()
        return self.survey.plan

    def _learn(self) -> None:
        workspace, folder = self.settings.workspace, self.survey.sources.folder
        summary = workspace.samples_summary(self.survey.roots.prepare)
        assert summary is not None
        self.context = replace(self.context, languages=tuple(summary["languages"]), model_folder=str(folder or ""))
        self.remember()  # now, for `gc` must not take what a stopped study left

    def remember(self) -> None:
        """Record what the study refers to, and the links of this run; a run of one layer leaves the study's."""
        workspace, whole = self.settings.workspace, self.plan
        if self.layer is None or not workspace.record(whole.key).exists():
            workspace.remember(whole.key, whole.record() | _links(self))
        if self.layer_plan is not None:
            workspace.remember(self.layer_plan.key, self.layer_plan.record() | _links(self))

    def make(self, name: str, units: Sequence[Unit]) -> None:
        """Run one stage over its units."""
        run_stage(name, units, self.steps, self.context, self.profile)

    def unit_metrics(self, units: Sequence[Unit]) -> dict[int, Mapping[str, float]]:
        """The final metrics of layer units, by layer."""
        store = self.settings.workspace.store
        present = [unit for unit in units if store.intact(unit.artifact)]
        return {int(unit.name): store.manifest(unit.artifact).get("metrics", {}) for unit in present}


@contextmanager
def study_run(study: Study | str, cluster: str, steps: Steps, layer: int | None = None) -> Iterator[StudyRun]:
    """Open a study and its MLflow run, and close the run as what became of it; `layer` is the only one that is made.

    Raises:
        BadInput: the study, its sources, the profile or the workspace is wrong; one line says what.
    """
    with marked(title_of(study, layer)) as settings:
        opened = open_study(study)
        named = Named(opened.name, title_of(opened, layer), opened.tracking.experiment)
        with logged(settings, named, cluster), _opened(settings, opened, cluster, steps, layer) as run:
            yield run


@contextmanager
def _opened(settings: Settings, opened: Study, cluster: str, steps: Steps, layer: int | None) -> Iterator[StudyRun]:
    profile = open_cluster(cluster, settings)
    seen = survey(opened, settings.workspace)
    for warning in seen.warnings:
        _log.warning("%s", warning)
    if isinstance(profile, SlurmProfile) and not seen.whole(settings.workspace):
        ask_slurm(profile, settings.workspace.root)
    with tracked(settings, _named(seen, layer), _context(settings, seen)) as context:
        run = StudyRun(settings, seen, profile, context, steps, layer)
        with closing(context, run.metrics):
            if seen.plan is not None:
                run._learn()
            yield run
            _announce(run)
        with mlflow_errors_in_a_line(settings.tracking_uri):
            _finish(run)


def _named(seen: Survey, layer: int | None) -> Named:
    study = seen.study
    tags = {
        "saeflow.study": study.name,
        **({"saeflow.variant": study.variant} if study.variant else {}),
        "saeflow.data": seen.sources.data,
        "saeflow.weights": seen.sources.model,
    }
    params = flatten(study.model_dump(mode="json"))
    return Named(study.name, title_of(study, layer), study.tracking.experiment, params, tags)


def _context(settings: Settings, seen: Survey) -> RunContext:
    return RunContext(
        workspace=str(settings.workspace.root),
        study=seen.study.name,
        data_base=str(seen.sources.data_base),
        model_folder=str(seen.sources.folder or ""),
        factory=seen.sources.factory,
    )


def _finish(run: StudyRun) -> None:
    uri, run_id = run.settings.tracking_uri, run.context.parent_run_id
    assert run_id is not None
    if is_deleted(uri, run_id):
        _log.warning("the study's MLflow run %s was deleted meanwhile: its summary is not written", run_id)
        return
    log_by_layer(uri, run_id, run.unit_metrics(run.plan.saes))
    summary = summarise(run.settings.workspace, run.layer_plan or run.plan, run.context.links.get("prefect.url", ""))
    tag_run(uri, run_id, {"mlflow.note.content": summary.description})
    if summary.page is not None:
        log_file(uri, run_id, summary.page, "report")
    asked = hours_asked(run.settings.workspace.root, run.context.study, run.context.flow_run_id)
    close_parent(uri, run_id, "FINISHED", {**run.metrics, **summary.metrics, **asked})


def _links(run: StudyRun) -> dict[str, str | None]:
    context = run.context
    return {
        "mlflow": mlflow_page(run.settings, run.context),
        "flow_run": context.flow_run_id,
        "mlflow_run": context.parent_run_id,
    }


def _announce(run: StudyRun) -> None:
    workspace, layer = run.settings.workspace, run.layer_plan
    run.remember()
    lines = [f"[MLflow run]({mlflow_page(run.settings, run.context)})"]
    published = [(run.plan.study.folder, run.plan.report.artifact)]
    if layer is not None:
        published.append((layer.folder, layer.report.artifact))
    for folder, report in published:
        if workspace.store.intact(report):
            lines.append(f"Report: `{workspace.publish_report(folder, report)}`")
    create_markdown_artifact("\n\n".join(lines), key="study-links", description="Where the results are")
