"""MLflow: a parent run per study run, a child run per unit; always by explicit run id, never by the active run.

MLflow is imported where it is used: most units are not tracked, and its import takes a worker seconds.
"""

import logging
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.store.artifacts import canonical_json
from core.store.steps import ANALYSE, IMPORT_SAE, TRAIN_SAE, stage_of
from core.store.units import Unit
from tasks.context import RunContext

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

_log = logging.getLogger("saeflow.tracking")
PARENT = "mlflow.parentRunId"
_BATCH, _PARAMS = 500, 100  # MLflow takes at most 1000 metrics and 100 params a call


@dataclass
class UnitRun:
    """A unit's MLflow run, or nothing at all when the unit is not tracked."""

    client: "MlflowClient | None"
    run_id: str | None
    _pending: "list[Metric]" = field(default_factory=list)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep a point of each curve; written in batches."""
        if self.client is None:
            return
        self._pending.extend(_metrics(metrics, step))
        if len(self._pending) >= _BATCH:
            self._flush()

    def finish(self, metrics: Mapping[str, float], made: Mapping[str, Any]) -> None:
        """Write the final metrics and what the making cost."""
        if self.client is None:
            return
        cost = {
            f"system/{name}": float(made[name])
            for name in ("wall_seconds", "cpu_seconds", "gpu_seconds", "peak_rss_mib")
        }
        used = {f"system/gpu_{name}": value for name, value in (made["gpu"] or {}).items() if _is_figure(value)}
        self._pending.extend(_metrics({**metrics, **cost, **used}, 0))
        self._flush()

    def _flush(self) -> None:
        assert self.client is not None and self.run_id is not None
        pending, self._pending[:] = self._pending[: _BATCH * 4], self._pending[_BATCH * 4 :]
        for start in range(0, len(pending), _BATCH):
            self.client.log_batch(self.run_id, metrics=pending[start : start + _BATCH])


def client_of(tracking_uri: str | None) -> "MlflowClient":
    """A client of the MLflow store at a URI."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri)


def is_passing(error: BaseException) -> bool:
    """Whether MLflow said that its database is busy or its server gone, which another attempt may not see."""
    code = getattr(error, "error_code", "") if type(error).__module__.startswith("mlflow.") else ""
    return code in ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR")


def _metrics(values: Mapping[str, float], step: int) -> "list[Metric]":
    import time

    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(_key(name), float(value), now, step) for name, value in values.items() if math.isfinite(value)]


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float)


def _key(name: str) -> str:
    return re.sub(r"[^\w\-. /:]", "_", name)


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """`{"sae": {"k": 64}}` as `{"sae.k": "64"}`; lists as compact JSON."""
    flat: dict[str, str] = {}
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, Mapping):
            flat |= flatten(inner, f"{name}.")
        else:
            flat[name] = inner if isinstance(inner, str) else canonical_json(inner)
    return flat


def _is_shown(step: str) -> bool:
    """Whether MLflow shows the step's units as runs of their own; the rest stands in the parent run."""
    return step in (TRAIN_SAE.name, IMPORT_SAE.name) or stage_of(step) == ANALYSE


@contextmanager
def unit_run(unit: Unit, context: RunContext) -> Iterator[UnitRun]:
    """The unit's child run, found again by tag on a retry; its status follows how the block ends."""
    if context.tracking_uri is None or context.parent_run_id is None or not _is_shown(unit.step):
        yield UnitRun(None, None)
        return
    from mlflow.exceptions import MlflowException

    client = client_of(context.tracking_uri)
    run_id = _find_or_create(client, unit, context)
    tracked = UnitRun(client, run_id)
    try:
        yield tracked
    except BaseException as error:
        stopped = type(error).__name__ in ("Stopped", "KeyboardInterrupt", "TerminationSignal", "SystemExit")
        with suppress(MlflowException):  # what went wrong must not be hidden by a tracking server that is gone
            client.set_terminated(run_id, "KILLED" if stopped else "FAILED")
        raise
    _attach_log(client, run_id, context.log_file(unit))
    client.set_terminated(run_id, "FINISHED")


def _find_or_create(client: "MlflowClient", unit: Unit, context: RunContext) -> str:
    assert context.experiment_id is not None
    query = f"tags.`saeflow.artifact` = '{unit.artifact.ref}' and tags.`{PARENT}` = '{context.parent_run_id}'"
    found: "list[Run]" = list(client.search_runs([context.experiment_id], query, max_results=1))
    if found:
        client.update_run(found[0].info.run_id, status="RUNNING")
        return str(found[0].info.run_id)
    tags = {
        PARENT: context.parent_run_id,
        "mlflow.runName": unit.label,
        "saeflow.artifact": unit.artifact.ref,
        "saeflow.step": unit.step,
        "saeflow.unit": unit.name,
        "saeflow.study": context.study,
        **context.links,
    }
    run = client.create_run(context.experiment_id, tags=tags)
    _log_params(client, run.info.run_id, flatten(unit.recipe))
    return str(run.info.run_id)


def _log_params(client: "MlflowClient", run_id: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    entries = [Param(key, value[:6000]) for key, value in params.items()]  # MLflow's longest value
    for start in range(0, len(entries), _PARAMS):
        client.log_batch(run_id, params=entries[start : start + _PARAMS])


def _attach_log(client: "MlflowClient", run_id: str, path: Path) -> None:
    if path.is_file():
        client.log_artifact(run_id, str(path), "logs")


def open_parent(
    tracking_uri: str, experiment: str, artifact_root: Path, params: Mapping[str, str], tags: Mapping[str, str]
) -> tuple[str, str]:
    """Start a study's parent run, closing runs of this study that a killed process left open.

    Returns:
        The experiment's id and the run's id.
    """
    client = client_of(tracking_uri)
    experiment_id = _experiment(client, tracking_uri, experiment, artifact_root)
    run = client.create_run(experiment_id, tags=dict(tags))
    _log_params(client, run.info.run_id, params)
    return experiment_id, str(run.info.run_id)


def _experiment(client: "MlflowClient", tracking_uri: str, name: str, artifact_root: Path) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # A server keeps artifacts where it was told; without one MLflow would put them into the working directory.
    # A name with slashes or dots must not lead out of the root.
    folder = re.sub(r"[^\w .-]|^\.+", "_", name)[:100]
    location = None if tracking_uri.startswith("http") else (artifact_root / folder).resolve().as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        created = client.get_experiment_by_name(name)  # another study was faster
        if created is None:
            raise
        return str(created.experiment_id)


def is_deleted(tracking_uri: str, run_id: str) -> bool:
    """Whether somebody has deleted the run, by itself or with its experiment; MLflow then takes no more of it."""
    return str(client_of(tracking_uri).get_run(run_id).info.lifecycle_stage) != "active"


def close_parent(tracking_uri: str, run_id: str, status: str, metrics: Mapping[str, float]) -> None:
    """Write the study's own metrics and end its run, with units a lost worker left open, FINISHED, FAILED or KILLED."""
    client = client_of(tracking_uri)
    experiment_id = client.get_run(run_id).info.experiment_id
    query = f"attributes.status = 'RUNNING' and tags.`{PARENT}` = '{run_id}'"
    for child in client.search_runs([experiment_id], query):
        client.set_terminated(child.info.run_id, "KILLED")
    for start in range(0, len(points := _metrics(metrics, 0)), _BATCH):
        client.log_batch(run_id, metrics=points[start : start + _BATCH])
    client.set_terminated(run_id, status)


def log_by_layer(tracking_uri: str, run_id: str, metrics: Mapping[int, Mapping[str, float]]) -> None:
    """Each SAE metric against the layer, as a curve of the parent run whose step is the layer."""
    points = [
        point
        for layer, values in sorted(metrics.items())
        for point in _metrics({f"by_layer/{name}": value for name, value in values.items()}, layer)
    ]
    client = client_of(tracking_uri)
    for start in range(0, len(points), _BATCH):
        client.log_batch(run_id, metrics=points[start : start + _BATCH])


def tag_run(tracking_uri: str, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags on a run."""
    from mlflow.entities import RunTag

    client_of(tracking_uri).log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def log_file(tracking_uri: str, run_id: str, path: Path, folder: str) -> None:
    """Attach a file to a run, below a folder of its artefacts."""
    client_of(tracking_uri).log_artifact(run_id, str(path), folder)


def log_folder(context: RunContext, run_id: str | None, folder: Path, name: str) -> None:
    """Attach a folder's files to a unit's run, where there is one."""
    if run_id is not None and folder.is_dir():
        client_of(context.tracking_uri).log_artifacts(run_id, str(folder), name)
