"""One run of a study: survey, MLflow parent run, stages; closed as finished, failed or killed."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run as prefect_flow_run
from prefect.settings import PREFECT_API_URL

from core.planning.graph import Plan
from core.planning.study import Study
from core.planning.survey import Survey, survey
from core.store.ledger import JobCost, hours_by_stage, ledger_path, read
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
from flows.runtime.settings import Settings, open_profile_path, open_study, read_settings
from flows.slurm.check import ask_slurm
from flows.slurm.doors import refuse_open_doors
from flows.stages import run_stage
from tasks.context import RunContext
from tasks.experiment import check_experiment, mlflow_errors_in_a_line
from tasks.lease import live_mark, sign_of_life
from tasks.provenance import git_revision
from tasks.step import STOPPING
from tasks.tracking import close_parent, flatten, is_deleted, log_by_layer, open_parent
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
    metrics: dict[str, float] = field(default_factory=dict)

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
        # Now, for `gc` must not take what a stopped study left.
        workspace.remember(self.plan.key, self.plan.record() | _links(self))

    def make(self, name: str, units: Sequence[Unit]) -> None:
        """Run one stage over its units."""
        run_stage(name, units, self.steps, self.context, self.profile)

    def unit_metrics(self, units: Sequence[Unit]) -> dict[int, Mapping[str, float]]:
        """The final metrics of layer units, by layer."""
        store = self.settings.workspace.store
        present = [unit for unit in units if store.intact(unit.artifact)]
        return {int(unit.name): store.manifest(unit.artifact).get("metrics", {}) for unit in present}


@contextmanager
def study_run(study: Study | str, cluster: str, steps: Steps) -> Iterator[StudyRun]:
    """Open a study and its MLflow run, and close the run as what became of it.

    Raises:
        BadInput: the study, its sources, the profile or the workspace is wrong; one line says what.
    """
    settle()
    hide_tracebacks()
    settings = read_settings()
    settings.workspace.check_writable()
    with _marked(settings, _name_of(study)), cancellable():
        opened = open_study(study)
        with pipeline_log(settings.workspace.root, opened.name) as log, logged_run(opened.name, cluster, log):
            check_experiment(settings.tracking_uri, opened.tracking.experiment)
            if prefect_flow_run.id:  # a killed run of a deployment: Prefect closes only the run at its top
                log_left_running(settings.workspace.root)
            with _opened(settings, opened, cluster, steps) as run:
                yield run


@contextmanager
def _opened(settings: Settings, opened: Study, cluster: str, steps: Steps) -> Iterator[StudyRun]:
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
    with _tracked(settings, seen) as context:
        run = StudyRun(settings, seen, profile, context, steps)
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
def _tracked(settings: Settings, seen: Survey) -> Iterator[RunContext]:
    """The study's MLflow run, known as alive to the other studies of this workspace while the block runs."""
    with mlflow_errors_in_a_line(settings.tracking_uri):
        make_tracking_database(settings.tracking_uri, settings.workspace.root / "mlartifacts")
    with ExitStack() as alive:
        with one_at_a_time(settings), mlflow_errors_in_a_line(settings.tracking_uri):
            context = _context(settings, seen)
            alive.enter_context(sign_of_life(live_mark(settings.workspace.root, str(context.parent_run_id))))
        yield context


def _context(settings: Settings, seen: Survey) -> RunContext:
    study = seen.study
    flow_id = str(prefect_flow_run.id) if prefect_flow_run.id else None
    flow_url = prefect_flow_run.ui_url or ""
    links = {"prefect.flow_run_id": flow_id or "", "prefect.url": flow_url}
    workspace = settings.workspace.root
    for line in close_left_in_mlflow(settings):
        _log.warning(line)
    tags = {
        "mlflow.runName": study.name,
        "saeflow.study": study.name,
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
    close_parent(uri, run_id, "FINISHED", run.metrics | _hours_asked(run))


def _hours_asked(run: StudyRun) -> dict[str, float]:
    """What the jobs of this run held, by stage; nothing where there were none."""
    path = ledger_path(run.settings.workspace.root, run.context.study)
    mine = [cost for cost in read(path, JobCost) if cost.flow_run == run.context.flow_run_id]
    asked: dict[str, float] = {}
    for stage, (_, cpu, gpu) in hours_by_stage(mine).items():
        asked |= {f"cpu_hours_asked.{stage}": cpu, f"gpu_hours_asked.{stage}": gpu}
    return asked


def run_name() -> str:
    """`full-analysis demo`: the flow and its study's name, for Prefect's pages."""
    return f"{prefect_flow_run.flow_name} {_name_of(prefect_flow_run.parameters['study'])}"


def _name_of(study: Study | str) -> str:
    return study.name if isinstance(study, Study) else Path(study).stem


def mlflow_page(run: StudyRun) -> str:
    """The address of the study's run in MLflow's pages."""
    context = run.context
    return f"{run.settings.mlflow_url}/#/experiments/{context.experiment_id}/runs/{context.parent_run_id}"


def _links(run: StudyRun) -> dict[str, str | None]:
    context = run.context
    return {"mlflow": mlflow_page(run), "flow_run": context.flow_run_id, "mlflow_run": context.parent_run_id}


def _announce(run: StudyRun) -> None:
    workspace = run.settings.workspace
    workspace.remember(run.plan.key, run.plan.record() | _links(run))
    lines = [f"[MLflow run]({mlflow_page(run)})"]
    if workspace.store.intact(run.plan.report.artifact):
        lines.append(f"Report: `{workspace.publish_report(run.plan.study.name, run.plan.report.artifact)}`")
    create_markdown_artifact("\n\n".join(lines), key="study-links", description="Where the results are")
