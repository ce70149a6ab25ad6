"""The one decorator: how Prefect's cache, retries and records, MLflow, leases and artefacts hang together.

A step's body takes a `Work`, writes files below `work.out` and returns metrics. Around it, here and nowhere else:
Prefect's cache key is the artefact's fingerprint and its result record lies inside the artefact; a damaged artefact is
a miss and a whole one without a record is adopted; the unit is leased; the directory is published as the last act.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from prefect import Task, task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.context import TaskRunContext
from prefect.logging.handlers import APILogWorker
from prefect.serializers import JSONSerializer

from core.progress import Progress, Stopped
from core.store.artifacts import RECORD, ArtifactStore
from core.store.steps import StepSpec
from core.store.units import Unit
from tasks.context import RunContext, Work
from tasks.gpu_usage import device_of_step, watch_gpu
from tasks.inputs import checked_inputs
from tasks.job import leave_in_time, this_job
from tasks.lease import Lease, held
from tasks.provenance import Stopwatch, provenance
from tasks.tracking import UnitRun, is_passing, unit_run

Body = Callable[[Work], Mapping[str, float]]

_FLUSH_S = 5.0
# Set once the run is asked to stop: every unit of this process ends at its next progress call.
STOPPING = threading.Event()


def step(spec: StepSpec) -> Callable[[Body], Task[..., dict[str, Any]]]:
    """Make a step's body a Prefect task over one `Unit` and the run's context, both as JSON."""

    def decorate(body: Body) -> Task[..., dict[str, Any]]:
        def run_unit(unit: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
            try:
                return _run(spec, body, Unit.from_json(unit), RunContext.from_json(context))
            finally:
                if this_job() is not None:
                    APILogWorker.drain_all(timeout=_FLUSH_S)  # the job may end before its log's last lines have left

        # No tags: for each tag Prefect asks its server for a slot, limit or not, and a busy server refuses at times.
        as_task = task(
            name=spec.name,
            task_run_name=_task_run_name,  # type: ignore[arg-type]  # its protocol asks for a classmethod of ours
            cache_policy=CacheKeyFnPolicy(cache_key_fn=_cache_key),
            persist_result=True,
            result_serializer=JSONSerializer(),
            cache_result_in_memory=False,
            retries=spec.retries,
            retry_delay_seconds=1,
            retry_condition_fn=_worth_a_retry,
        )
        return as_task(run_unit)

    return decorate


def _task_run_name(parameters: dict[str, Any]) -> str:
    """The unit; on SLURM also where it runs, and which attempt it is where it is not the first."""
    label = Unit.from_json(parameters["unit"]).label
    attempt = RunContext.from_json(parameters["context"]).attempt
    parts = [label, *([f"attempt {attempt}"] if attempt > 1 else []), *([str(job)] if (job := this_job()) else [])]
    return " · ".join(parts)


def _cache_key(_: TaskRunContext, inputs: dict[str, Any]) -> str:
    artifact = Unit.from_json(inputs["unit"]).artifact
    forget_if_damaged(RunContext.from_json(inputs["context"]).store, Unit.from_json(inputs["unit"]))
    return f"{artifact.ref}/{RECORD}"


def forget_if_damaged(store: ArtifactStore, unit: Unit) -> bool:
    """Whether the unit's artefact is intact; if not, its Prefect record goes, so that it is a miss."""
    if store.intact(unit.artifact):
        return True
    (store.path(unit.artifact) / RECORD).unlink(missing_ok=True)
    return False


def _worth_a_retry(_: Any, __: Any, state: Any) -> bool:
    """Lost connections are tried again; a wrong config, a full disk and a stop never are. What ran out of memory is
    tried again here, and on SLURM by the flow, on a worker that has more."""
    if STOPPING.is_set():
        return False
    try:
        state.result()
    except (ConnectionError, TimeoutError):
        return True
    except BaseException as error:
        return is_passing(error) or (out_of_memory(error) and this_job() is None)
    return False


def out_of_memory(error: BaseException) -> bool:
    """Whether memory, the machine's or the GPU's, was what was missing."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "out of memory" in str(error).lower())


def _run(spec: StepSpec, body: Body, unit: Unit, context: RunContext) -> dict[str, Any]:
    store = context.store
    if STOPPING.is_set():
        raise Stopped(f"{unit.label}: the run was asked to stop")
    leave_in_time(0, 1, time.time())
    if store.intact(unit.artifact):  # whole, but its record was lost: adopt it
        return _record(unit, store)
    logger = logging.getLogger(f"saeflow.{unit.step}")

    def tell(holder: Lease) -> None:
        logger.info("%s is being made by process %s on %s; waiting for it", unit.label, holder.pid, holder.host)

    with held(store, unit.artifact, STOPPING, tell) as lease:
        if lease is not None and not store.intact(unit.artifact):
            _make(spec, body, unit, context, lease)
    return _record(unit, store)


def _record(unit: Unit, store: ArtifactStore) -> dict[str, Any]:
    metrics = store.manifest(unit.artifact).get("metrics", {})
    return {"artifact": unit.artifact.ref, "unit": unit.label, "metrics": metrics}


def _make(spec: StepSpec, body: Body, unit: Unit, context: RunContext, lease: Lease) -> None:
    store = context.store
    staged = store.staging(unit.artifact)
    device = device_of_step(spec, context.device)
    watch = Stopwatch(gpus=_gpus(device))
    with (
        _logging_to(context.log_file(unit), unit) as logger,
        unit_run(unit, context) as tracked,
        watch_gpu(device) as gpu,
    ):
        try:
            work = Work(
                unit,
                context,
                staged,
                store.checkpoints(unit.artifact),
                _progress(lease, tracked),
                logger,
                tracked.run_id,
            )
            where = f" in {job}" if (job := this_job()) else ""
            logger.info("%s begins%s: %s", unit.label, where, unit.artifact.ref)
            with checked_inputs(work):
                metrics = dict(body(work))
            made = provenance(watch, device, gpu.read() if gpu is not None else None)
            _publish(work, metrics, made)
            tracked.finish(metrics, made)
            logger.info("%s is done after %.1f s", unit.label, made["wall_seconds"])
        except BaseException as error:
            logger.info("%s ended early: %s: %s", unit.label, type(error).__name__, error)
            shutil.rmtree(staged, ignore_errors=True)
            raise


def _publish(work: Work, metrics: Mapping[str, float], made: Mapping[str, Any]) -> None:
    unit = work.unit
    manifest = {
        "unit": unit.to_json(),
        "label": unit.label,
        "provenance": made,
        "metrics": metrics,
        "mlflow_run_id": work.run_id,
        "study": work.context.study,
    }
    work.context.store.publish(work.out, unit.artifact, manifest)


def _progress(lease: Lease, tracked: UnitRun) -> Progress:
    began = time.time()

    def progress(done: int, total: int, metrics: dict[str, float] | None = None) -> None:
        if STOPPING.is_set():
            raise Stopped("the run was asked to stop")
        if done < total:
            leave_in_time(done, total, began)
        lease.done, lease.total = done, total
        if metrics:
            lease.metrics = metrics
            tracked.log(metrics, done)

    return progress


def _gpus(device: str) -> int:
    job = this_job()
    if job is not None:  # a GPU that a job holds is used up, whether or not torch sees it
        return len(job.gpus.split(",")) if job.gpus else 0
    return 1 if device.startswith("cuda") else 0


def _logging_to(path: Path, unit: Unit) -> AbstractContextManager[logging.Logger]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _FileLog(path, unit)
    except OSError:
        return nullcontext(logging.getLogger("saeflow"))


class _QuietHandler(logging.FileHandler):
    """A log file that a full disk silences; the work itself tells of the disk."""

    def handleError(self, record: logging.LogRecord) -> None:  # logging names it so
        """Do nothing: logging would print a traceback."""


class _FileLog(AbstractContextManager[logging.Logger]):
    """A unit's logger: to its own file, and to Prefect."""

    def __init__(self, path: Path, unit: Unit) -> None:
        self._handler = _QuietHandler(path, encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._logger = logging.getLogger(f"saeflow.{unit.step}.{unit.artifact.fingerprint}")

    def __enter__(self) -> logging.Logger:
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self._handler)
        return self._logger

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self._handler)
        with suppress(OSError):  # closing writes what is left
            self._handler.close()
