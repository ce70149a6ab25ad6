"""The frame of a run, whatever it makes: where it works, what it is called, its workers, and its MLflow run, closed as
what became of it."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

from prefect.runtime import flow_run as prefect_flow_run
from prefect.settings import PREFECT_API_URL

from flows.cancelling import cancellable
from flows.failures import hide_tracebacks, logged_run
from flows.left_in_mlflow import close_left_in_mlflow, one_at_a_time
from flows.left_running import log_left_running
from flows.pipeline_log import pipeline_log
from flows.running import running
from flows.runtime.environment import neutral_dask, settle
from flows.runtime.profiles import Profile, SlurmProfile, load_profile
from flows.runtime.settings import TRAINING_RUNS, Settings, open_profile_path, read_settings
from flows.slurm.doors import refuse_open_doors
from tasks.context import RunContext
from tasks.experiment import check_experiment, mlflow_errors_in_a_line
from tasks.lease import live_mark, sign_of_life
from tasks.provenance import git_revision
from tasks.step import STOPPING
from tasks.tracking import close_parent, open_parent
from tasks.tracking_database import make_tracking_database

_log = logging.getLogger("saeflow.flows")


@dataclass(frozen=True)
class Named:
    """What a run makes, as logs and MLflow call it; `params` and `tags` are of its MLflow run."""

    name: str
    title: str
    experiment: str
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def marked(title: str) -> Iterator[Settings]:
    """Settle this process, and mark the run as going on while the block runs; Prefect can cancel it."""
    settle()
    hide_tracebacks()
    settings = read_settings()
    settings.workspace.check_writable()
    with _marked(settings, title), cancellable():
        yield settings


def _marked(settings: Settings, name: str) -> AbstractContextManager[None]:
    if prefect_flow_run.id is None:
        return nullcontext()
    name = f"{prefect_flow_run.flow_name} {name}"
    return running(settings.workspace.root, str(prefect_flow_run.id), name, prefect_flow_run.ui_url or "")


@contextmanager
def logged(settings: Settings, named: Named, cluster: str) -> Iterator[None]:
    """Write the run's pipeline log while the block runs.

    Raises:
        BadInput: its experiment was deleted in MLflow.
    """
    with pipeline_log(settings.workspace.root, named.name) as log, logged_run(named.title, cluster, log):
        check_experiment(settings.tracking_uri, named.experiment)
        if prefect_flow_run.id:  # a killed run of a deployment: Prefect closes only the run at its top
            log_left_running(settings.workspace.root)
        yield


def open_cluster(cluster: str, settings: Settings) -> Profile:
    """The profile of the workers.

    Raises:
        BadInput: there is no such profile, or its jobs could not reach this run's servers safely.
    """
    profile = load_profile(open_profile_path(cluster))
    if profile.kind != "threads":
        neutral_dask()
    if isinstance(profile, SlurmProfile):
        refuse_open_doors(profile, PREFECT_API_URL.value() or "", settings.tracking_uri)
    STOPPING.clear()
    return profile


@contextmanager
def tracked(settings: Settings, named: Named, context: RunContext) -> Iterator[RunContext]:
    """The context with the run's MLflow run, which other runs of this workspace know as alive while the block runs."""
    with mlflow_errors_in_a_line(settings.tracking_uri):
        make_tracking_database(settings.tracking_uri, settings.workspace.root / "mlartifacts")
    with ExitStack() as alive:
        with one_at_a_time(settings), mlflow_errors_in_a_line(settings.tracking_uri):
            context = _with_run(settings, named, context)
            alive.enter_context(sign_of_life(live_mark(settings.workspace.root, str(context.parent_run_id))))
        yield context


def _with_run(settings: Settings, named: Named, context: RunContext) -> RunContext:
    flow_id = str(prefect_flow_run.id) if prefect_flow_run.id else None
    links = {"prefect.flow_run_id": flow_id or ""}
    if settings.prefect_stays and (url := prefect_flow_run.ui_url):
        links["prefect.url"] = url
    for line in close_left_in_mlflow(settings):
        _log.warning(line)
    tags = {"mlflow.runName": named.title, **named.tags, **_revision_tags(), **links}
    artifacts = settings.workspace.root / "mlartifacts"
    experiment_id, run_id = open_parent(settings.tracking_uri, named.experiment, artifacts, named.params, tags)
    return replace(
        context,
        tracking_uri=settings.tracking_uri,
        experiment_id=experiment_id,
        parent_run_id=run_id,
        flow_run_id=flow_id,
        links=links,
    )


def _revision_tags() -> dict[str, str]:
    revision = git_revision()
    return {"saeflow.git": revision["revision"] or "", "saeflow.dirty": str(revision["dirty"]).lower()}


@contextmanager
def closing(context: RunContext, metrics: Mapping[str, float]) -> Iterator[None]:
    """Close the MLflow run as failed or killed where the block ends early, with the metrics known by then."""
    try:
        yield
    except Exception:
        _close_early(context, "FAILED", metrics)
        raise
    except BaseException:
        STOPPING.set()
        _close_early(context, "KILLED", metrics)
        raise


def _close_early(context: RunContext, status: str, metrics: Mapping[str, float]) -> None:
    from mlflow.exceptions import MlflowException  # seconds, which a process that only serves flows need not pay

    assert context.tracking_uri is not None and context.parent_run_id is not None
    try:
        close_parent(context.tracking_uri, context.parent_run_id, status, metrics)
    except MlflowException as error:  # why the run ended must not be hidden
        _log.warning("the MLflow run stays open until the study is run again: %s", error)


def mlflow_page(settings: Settings, context: RunContext) -> str:
    """The address of the run in MLflow's pages."""
    page = f"{settings.mlflow_url}/#/experiments/{context.experiment_id}/runs/{context.parent_run_id}"
    return page + TRAINING_RUNS
