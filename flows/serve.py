"""Serve the deployments of prefect.yaml from this process, until SIGTERM: no work pool, no worker."""

import asyncio
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from prefect.runner import Runner
from prefect.settings import PREFECT_API_URL
from prefect.types.entrypoint import EntrypointType

from flows.concept_scan import concept_scan
from flows.feature_catalogue import feature_catalogue
from flows.full_analysis import full_analysis
from flows.left_running import try_to_close
from flows.running import serving
from flows.runtime.environment import settle
from flows.runtime.settings import PROJECT, read_settings
from flows.single_layer import single_layer

# Prefect's runner ends runs one after the other, and gives each of two 30 s.
_STOP_WITHIN_S = 70.0
_CHECKPOINT_WITHIN_S = 20.0
_FLOWS: dict[str, Any] = {flow.name: flow for flow in (full_analysis, single_layer, concept_scan, feature_catalogue)}


def served_deployments(path: Path) -> list[Any]:
    """The deployments that `prefect.yaml` names, as ones that this process runs itself."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["deployments"]
    return [
        _FLOWS[entry["flow_name"]].to_deployment(
            entry["name"],
            parameters=entry["parameters"],
            description=entry["description"],
            tags=entry["tags"],
            concurrency_limit=entry["concurrency_limit"],
            entrypoint_type=EntrypointType.MODULE_PATH,  # a path would be one from the folder that serves them
        )
        for entry in entries
    ]


class _Runner(Runner):
    """Prefect's runner. Told to stop, it starts no more runs, ends those under way as Cancelled, and waits for them."""

    def handle_sigterm(self, *_: Any, **__: Any) -> None:
        """Stop in the loop that runs here; Prefect's own handler does it in another, and leaves runs behind."""
        threading.Thread(target=_end_in_any_case, daemon=True).start()
        self._stopped = asyncio.run_coroutine_threadsafe(self.astop(), asyncio.get_running_loop())


def _end_in_any_case() -> None:
    """End this process and its runs once the runner cannot: its server is gone, or it takes too long."""
    deadline = time.monotonic() + _STOP_WITHIN_S
    while time.monotonic() < deadline and _server_answers():
        time.sleep(1)
    runs = psutil.Process().children()
    for run in runs:
        run.terminate()  # it writes its checkpoints
    _, left = psutil.wait_procs(runs, _CHECKPOINT_WITHIN_S)
    for process in (*left, *psutil.Process().children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(1)


def _server_answers() -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{PREFECT_API_URL.value()}/health", timeout=3).is_success
    return False


async def _serve(deployments: list[Any]) -> None:
    runner = _Runner(pause_on_shutdown=False, limit=2)
    for deployment in deployments:
        await runner.aadd_deployment(deployment)
    await runner.start()


if __name__ == "__main__":
    settle()
    workspace = read_settings().workspace.root
    for line in try_to_close(workspace, own_server=False):
        sys.stderr.write(f"{line}\n")
    with serving(workspace):
        asyncio.run(_serve(served_deployments(PROJECT / "prefect.yaml")))
