"""One run of a study: survey, MLflow parent run, stages; closed as finished, failed or killed."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run as prefect_flow_run
from prefect.settings import PREFECT_API_URL

from core.planning.graph import Plan
from core.planning.one_layer import LayerPlan
from core.planning.study import Study
from core.planning.survey import Survey, survey
from core.store.units import Unit
from flows.cancelling import cancellable
from flows.dispatch import Steps
from flows.failures import hide_tracebacks, logged_run
from flows.left_in_mlflow import close_left_in_mlflow, one_at_a_time
from flows.left_running import log_left_running
from flows.pipeline_log import pipeline_log
from flows.running import running
from flows.runtime.environment import neutral_dask, settle
from flows.runtime.profiles import Profile, SlurmProfile, load_profile
from flows.runtime.settings import TRAINING_RUNS, Settings, open_profile_path, open_study, read_settings
from flows.slurm.check import ask_slurm
from flows.slurm.doors import refuse_open_doors
from flows.stages import run_stage
from flows.summary import hours_asked, summarise
from flows.titles import title_of
from tasks.context import RunContext
from tasks.experiment import check_experiment, mlflow_errors_in_a_line
from tasks.lease import live_mark, sign_of_life
from tasks.provenance import git_revision
from tasks.step import STOPPING
from tasks.tracking import close_parent, flatten, is_deleted, log_by_layer, log_file, open_parent, tag_run
from tasks.tracking_database import make_tracking_database

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
    settle()
    hide_tracebacks()
    settings = read_settings()
    settings.workspace.check_writable()
    with _marked(settings, title_of(study, layer)), cancellable():
        opened = open_study(study)
        called = title_of(opened, layer)
        with pipeline_log(settings.workspace.root, opened.name) as log, logged_run(called, cluster, log):
            check_experiment(settings.tracking_uri, opened.tracking.experiment)
            if prefect_flow_run.id:  # a killed run of a deployment: Prefect closes only the run at its top
                log_left_running(settings.workspace.root)
            with _opened(settings, opened, cluster, steps, layer) as run:
                yield run


@contextmanager
def _opened(settings: Settings, opened: Study, cluster: str, steps: Steps, layer: int | None) -> Iterator[StudyRun]:
    profile = load_profile(open_profile_path(cluster))
    if profile.kind != "threads":
        neutral_dask()
    if isinstance(profile, SlurmProfile):
        refuse_open_doors(profile, PREFECT_API_URL.value() or "", settings.tracking_uri)
    seen = survey(opened, settings.workspace)
    for warning in seen.warnings:
        _log.warning("%s", warning)
    if isinstance(profile, SlurmProfile) and not seen.whole(settings.workspace):
        ask_slurm(profile, settings.workspace.root)
    STOPPING.clear()
    with _tracked(settings, seen, title_of(opened, layer)) as context:
        run = StudyRun(settings, seen, profile, context, steps, layer)
        try:
            if seen.plan is not None:
                run._learn()
            yield run
            _announce(run)
        except Exception:
            _close_early(run, "FAILED")
            raise
        except BaseException:
            STOPPING.set()
            _close_early(run, "KILLED")
            raise
        with mlflow_errors_in_a_line(settings.tracking_uri):
            _finish(run)


def _marked(settings: Settings, name: str) -> AbstractContextManager[None]:
    if prefect_flow_run.id is None:
        return nullcontext()
    name = f"{prefect_flow_run.flow_name} {name}"
    return running(settings.workspace.root, str(prefect_flow_run.id), name, prefect_flow_run.ui_url or "")


@contextmanager
def _tracked(settings: Settings, seen: Survey, called: str) -> Iterator[RunContext]:
    """The study's MLflow run, known as alive to the other studies of this workspace while the block runs."""
    with mlflow_errors_in_a_line(settings.tracking_uri):
        make_tracking_database(settings.tracking_uri, settings.workspace.root / "mlartifacts")
    with ExitStack() as alive:
        with one_at_a_time(settings), mlflow_errors_in_a_line(settings.tracking_uri):
            context = _context(settings, seen, called)
            alive.enter_context(sign_of_life(live_mark(settings.workspace.root, str(context.parent_run_id))))
        yield context


def _context(settings: Settings, seen: Survey, called: str) -> RunContext:
    study = seen.study
    flow_id = str(prefect_flow_run.id) if prefect_flow_run.id else None
    links = {"prefect.flow_run_id": flow_id or ""}
    if settings.prefect_stays and (url := prefect_flow_run.ui_url):
        links["prefect.url"] = url
    workspace = settings.workspace.root
    for line in close_left_in_mlflow(settings):
        _log.warning(line)
    tags = {
        "mlflow.runName": called,
        "saeflow.study": study.name,
        **({"saeflow.variant": study.variant} if study.variant else {}),
        "saeflow.data": seen.sources.data,
        "saeflow.weights": seen.sources.model,
        **_revision_tags(),
        **links,
    }
    params = flatten(study.model_dump(mode="json"))
    experiment_id, run_id = open_parent(
        settings.tracking_uri, study.tracking.experiment, workspace / "mlartifacts", params, tags
    )
    return RunContext(
        workspace=str(workspace),
        study=study.name,
        data_base=str(seen.sources.data_base),
        model_folder=str(seen.sources.folder or ""),
        factory=seen.sources.factory,
        tracking_uri=settings.tracking_uri,
        experiment_id=experiment_id,
        parent_run_id=run_id,
        flow_run_id=flow_id,
        links=links,
    )


def _revision_tags() -> dict[str, str]:
    revision = git_revision()
    return {"saeflow.git": revision["revision"] or "", "saeflow.dirty": str(revision["dirty"]).lower()}


def _close_early(run: StudyRun, status: str) -> None:
    from mlflow.exceptions import MlflowException  # seconds, which a process that only serves flows need not pay

    assert run.context.parent_run_id is not None
    try:
        close_parent(run.settings.tracking_uri, run.context.parent_run_id, status, run.metrics)
    except MlflowException as error:  # why the study ended must not be hidden
        _log.warning("the MLflow run stays open until the study is run again: %s", error)


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


def mlflow_page(run: StudyRun) -> str:
    """The address of the study's run in MLflow's pages."""
    context = run.context
    page = f"{run.settings.mlflow_url}/#/experiments/{context.experiment_id}/runs/{context.parent_run_id}"
    return page + TRAINING_RUNS


def _links(run: StudyRun) -> dict[str, str | None]:
    context = run.context
    return {"mlflow": mlflow_page(run), "flow_run": context.flow_run_id, "mlflow_run": context.parent_run_id}


def _announce(run: StudyRun) -> None:
    workspace, layer = run.settings.workspace, run.layer_plan
    run.remember()
    lines = [f"[MLflow run]({mlflow_page(run)})"]
    published = [(run.plan.study.folder, run.plan.report.artifact)]
    if layer is not None:
        published.append((layer.folder, layer.report.artifact))
    for folder, report in published:
        if workspace.store.intact(report):
            lines.append(f"Report: `{workspace.publish_report(folder, report)}`")
    create_markdown_artifact("\n\n".join(lines), key="study-links", description="Where the results are")
