"""What the terminal tells of Prefect's runs: those that a kill left open, and those that fail under `serve`."""

from typing import Any

import httpx

from cli.servers import serves
from cli.terminal import console
from flows.settings import Settings

_FAILED = {
    "sort": "END_TIME_DESC",
    "limit": 50,
    "flow_runs": {
        "state": {"type": {"any_": ["FAILED", "CRASHED"]}},
        "parent_task_run_id": {"is_null_": True},
    },
}


def close_left_over(settings: Settings, api: str) -> None:
    """Close what killed processes left open in Prefect, naming each run in a line."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.left_running import try_to_close

    with temporary_settings({PREFECT_API_URL: api}):
        for line in try_to_close(settings.workspace.root, own_server=serves(api, settings)):
            console.print(line, markup=False)


class Failures:
    """The failed runs of a Prefect server on this machine, each told once."""

    def __init__(self, api: str) -> None:
        self._api, self._told = api, set[str]()
        self.new()  # those before are known

    def new(self) -> list[str]:
        """A text for each run that has failed since the last call: its name and the reason."""
        try:
            # Not through a proxy of the environment: it is this machine's.
            answer = httpx.post(f"{self._api}/flow_runs/filter", json=_FAILED, timeout=5, trust_env=False)
            runs: list[dict[str, Any]] = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError):  # busy, or about to end: the next call asks again
            return []
        fresh = [run for run in runs if run["state_id"] not in self._told]
        self._told.update(run["state_id"] for run in fresh)
        return [f"{run['name']} {run['state_name'].lower()}: {_reason(run)}" for run in reversed(fresh)]


def _reason(run: dict[str, Any]) -> str:
    message = str((run.get("state") or {}).get("message") or "no reason was recorded")
    for words in ("Flow run encountered an exception: ", "BadInput: ", "StageFailed: "):
        message = message.removeprefix(words)
    return message.strip()
