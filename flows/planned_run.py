"""One run of what is no study, a concept scan or a feature catalogue: stages, record, links, MLflow run at its end."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from core.store.artifacts import Artifact
from core.store.units import Unit
from flows.dispatch import Steps
from flows.frame import closing, mlflow_page
from flows.runtime.profiles import Profile
from flows.runtime.settings import Settings
from flows.stages import run_stage
from tasks.context import RunContext
from tasks.experiment import mlflow_errors_in_a_line
from tasks.tracking import close_parent, is_deleted, log_file

_log = logging.getLogger("saeflow.flows")


@dataclass
class PlannedRun(ABC):
    """A run under way."""

    settings: Settings
    profile: Profile
    context: RunContext
    steps: Steps
    metrics: dict[str, float] = field(default_factory=dict, kw_only=True)

    @abstractmethod
    def remember(self) -> None:
        """Record what the run refers to, and its links: `gc` must not take what a stop left."""

    @property
    @abstractmethod
    def published(self) -> tuple[str, Artifact]:
        """The folder's name of its report, and the report."""

    @property
    @abstractmethod
    def headline(self) -> Artifact:
        """What the run was for: its metrics are the run's."""

    @property
    @abstractmethod
    def shown(self) -> Sequence[Path]:
        """Files that its MLflow run shows."""

    @property
    def links(self) -> dict[str, str | None]:
        """Where the run is seen in MLflow and Prefect."""
        return {"mlflow": mlflow_page(self.settings, self.context), "flow_run": self.context.flow_run_id}

    def make(self, name: str, units: Sequence[Unit]) -> None:
        """Run one stage over its units."""
        run_stage(name, units, self.steps, self.context, self.profile)


@contextmanager
def carried_out(run: PlannedRun) -> Iterator[None]:
    """Publish what the block made, and close the run's MLflow run as what became of it."""
    with closing(run.context, run.metrics):
        yield
        _announce(run)
    with mlflow_errors_in_a_line(run.settings.tracking_uri):
        _finish(run)


def _announce(run: PlannedRun) -> None:
    run.remember()
    report = run.settings.workspace.publish_report(*run.published)
    lines = [f"[MLflow run]({mlflow_page(run.settings, run.context)})", f"Report: `{report}`"]
    create_markdown_artifact("\n\n".join(lines), key="run-links", description="Where the results are")


def _finish(run: PlannedRun) -> None:
    uri, run_id = run.settings.tracking_uri, run.context.parent_run_id
    assert run_id is not None
    if is_deleted(uri, run_id):
        _log.warning("the MLflow run %s was deleted meanwhile: its summary is not written", run_id)
        return
    for path in run.shown:
        log_file(uri, run_id, path, "report")
    metrics: Mapping[str, float] = run.settings.workspace.store.manifest(run.headline).get("metrics", {})
    close_parent(uri, run_id, "FINISHED", {**run.metrics, **metrics})
