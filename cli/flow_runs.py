"""What the terminal shows of Prefect's runs: those that a kill left open, and those that fail under `serve`."""

from datetime import UTC, datetime
from typing import Any

import httpx

from cli.servers import serves
from cli.terminal import console
from flows.runtime.settings import Settings


def close_left_over(settings: Settings, api: str) -> None:
    """Close what killed processes left open in Prefect and MLflow, naming each run in a line."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.left_in_mlflow import try_to_close_in_mlflow
    from flows.left_running import try_to_close

    with temporary_settings({PREFECT_API_URL: api}):
        lines = try_to_close(settings.workspace.root, own_server=serves(api, settings))
    for line in (*lines, *try_to_close_in_mlflow(settings)):
        console.print(line, markup=False)


class Failures:
    """The runs of a Prefect server on this machine that fail from now on, each given once."""

    def __init__(self, api: str) -> None:
        self._api, self._given = api, set[str]()
        failed = {
            "state": {"type": {"any_": ["FAILED", "CRASHED"]}},
            "parent_task_run_id": {"is_null_": True},
            "end_time": {"after_": datetime.now(UTC).isoformat()},
        }
        self._asked = {"sort": "END_TIME_DESC", "limit": 50, "flow_runs": failed}

    def new(self) -> list[str]:
        """A text for each run that has failed since the last call: its name and the reason."""
        try:
            answer = httpx.post(f"{self._api}/flow_runs/filter", json=self._asked, timeout=5)
            runs: list[dict[str, Any]] = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError):  # busy, or about to end: the next call asks again
            return []
        fresh = [run for run in runs if run["state_id"] not in self._given]
        self._given.update(run["state_id"] for run in fresh)
        return [f"{run['name']} {run['state_name'].lower()}: {_reason(run)}" for run in reversed(fresh)]


def _reason(run: dict[str, Any]) -> str:
    message = str((run.get("state") or {}).get("message") or "no reason was recorded")
    for words in ("Flow run encountered an exception: ", "BadInput: ", "StageFailed: "):
        message = message.removeprefix(words)
    return message.strip()
