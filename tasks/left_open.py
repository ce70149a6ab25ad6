"""MLflow's runs that are shown as going on though their study has ended, closed as killed."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from tasks.tracking import PARENT, client_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def close_left_open(tracking_uri: str, alive: Collection[str] | None, dead: Collection[str]) -> dict[str, str]:
    """Mark KILLED the open runs of studies that have ended: those of the parent runs in `dead`, and, unless `alive` is
    null, those of every other study that is not in it.

    Returns:
        For each parent run of which something was open its study's name, with the number of runs below it.
    """
    client = client_of(tracking_uri)
    open_runs: dict[str, list["Run"]] = {}
    for run in _open_runs(client, None if alive is not None else dead):
        parent = run.data.tags.get(PARENT, run.info.run_id)
        if parent in dead or (alive is not None and parent not in alive):
            open_runs.setdefault(parent, []).append(run)
    for run in (run for runs in open_runs.values() for run in runs):
        client.set_terminated(run.info.run_id, "KILLED")
    return {parent: _told(parent, runs) for parent, runs in open_runs.items()}


def _open_runs(client: "MlflowClient", parents: Collection[str] | None) -> "Iterator[Run]":
    """The open runs of studies; where `parents` are given, those of their experiments."""
    if parents is None:
        experiments = {found.experiment_id for found in client.search_experiments()}
    else:
        runs = (_run_or_null(client, parent) for parent in parents)
        experiments = {run.info.experiment_id for run in runs if run is not None}
    if experiments:
        found = client.search_runs(sorted(experiments), "attributes.status = 'RUNNING'")
        yield from (run for run in found if "saeflow.study" in run.data.tags)


def _run_or_null(client: "MlflowClient", run_id: str) -> "Run | None":
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException:
        return None


def _told(parent: str, runs: "list[Run]") -> str:
    below = sum(run.info.run_id != parent for run in runs)
    return f"{runs[0].data.tags['saeflow.study']}{f' (with {below} below it)' if below else ''}"
