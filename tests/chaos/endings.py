"""End a study in the middle of its training, and look at what is left.

A way is a signal, Cancel in Prefect's pages, or kill -9; to `saeflow run`, to `saeflow serve`, or to the process of a
deployment's run.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from cli.servers import free_port
from tests.chaos.scene import Scene, long_training, wait_until

PLACES = ("threads", "local", "slurm-one-node")
SIGNALS = {"kill": signal.SIGKILL, "sigint": signal.SIGINT, "sigterm": signal.SIGTERM}
RUN_WAYS = ("kill", "sigint", "sigterm", "cancel")
SERVE_WAYS = ("kill", "sigint", "sigterm", "cancel", "kill-run")
# SLURM's workers notice after 45 s that their scheduler is gone; the controller takes a while to close their jobs.
GONE_WITHIN_S = 90.0


def end_run(scene: Scene, place: str, way: str) -> str:
    """Start `saeflow run`, end it once it trains, and check what is left; a line of figures."""
    before = scene.steps()
    child = scene.start("run", str(scene.workspace / "study.yaml"), "--cluster", place)
    scene.wait_for_training(before)
    assert scene.open_in_mlflow()
    began = time.monotonic()
    if way == "cancel":
        ports = re.findall(r"Prefect (http://127.0.0.1:\d+)", scene.terminal())
        (run,) = _running(f"{ports[-1]}/api")
        _cancel(f"{ports[-1]}/api", run)
    else:
        child.send_signal(SIGNALS[way])
    code = child.wait(GONE_WITHIN_S)
    told = f"code {code} after {time.monotonic() - began:.1f} s"
    gone = wait_until(lambda: not scene.processes(), f"processes to end: {scene.processes()}", GONE_WITHIN_S)
    told += f", no process after {time.monotonic() - began:.1f} s" if gone > 1 else ""
    if way == "kill":
        assert scene.open_in_prefect(), "the next start has something to close"
        return told
    assert code == 130 and "stopped; what was finished or checkpointed stays" in scene.terminal()[-300:]
    assert scene.latest_state() == ("Cancelled" if way == "cancel" else "Crashed")
    check_closed(scene)
    return told


def check_closed(scene: Scene) -> None:
    """Nothing is shown as going on, and nobody holds a unit."""
    assert scene.open_in_prefect() == []
    assert scene.open_in_mlflow() == []
    assert scene.leases() == []


@dataclass
class Serve:
    """`saeflow serve` over a scene; `begin` starts it again after each end."""

    scene: Scene
    api: str = ""
    child: "subprocess.Popen[bytes] | None" = None
    runs: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Start the servers and deployments; what a kill left open is closed then."""
        ports = [str(free_port()), str(free_port())]
        self.child = self.scene.start("serve", "--prefect-port", ports[0], "--mlflow-port", ports[1])
        note = self.scene.workspace / "servers.json"
        wait_until(lambda: note.exists() and json.loads(note.read_text())["pid"] == self.child_pid, "serve to start")
        self.api, self.runs = f"http://127.0.0.1:{ports[0]}/api", {}
        assert self.scene.open_in_prefect() == []
        assert self.scene.open_in_mlflow() == []

    @property
    def child_pid(self) -> int:
        """The process id of `saeflow serve`."""
        assert self.child is not None
        return self.child.pid

    def train_at(self, places: Sequence[str]) -> None:
        """Start a deployment's run at each place, and wait until each trains in two layers."""
        before, asked = self.scene.steps(), f"{self.api}/deployments/name/full-analysis/local"
        deployment = httpx.get(asked).raise_for_status().json()["id"]
        for place in places:
            study = long_training(PLACES.index(place))
            wanted = {"parameters": {"study": study, "cluster": place}, "state": {"type": "SCHEDULED"}}
            self.runs[place] = _post(f"{self.api}/deployments/{deployment}/create_flow_run", wanted)["id"]
        self.scene.wait_for_training(before, layers=2 * len(places))

    def end_one(self, place: str, way: str) -> str:
        """Cancel a run in Prefect, or kill its process; the servers and other runs go on."""
        run, began = self.runs.pop(place), time.monotonic()
        wanted = "Cancelled" if way == "cancel" else "Crashed"
        if way == "cancel":
            _cancel(self.api, run)
        else:
            mark = json.loads((self.scene.workspace / "running" / f"{run}.json").read_text(encoding="utf-8"))
            os.kill(mark["pid"], signal.SIGKILL)
        wait_until(lambda: _state(self.api, run) == wanted, f"{place} to be {wanted}", GONE_WITHIN_S)
        if not self.runs:
            wait_until(lambda: not self.scene.open_in_prefect(), "Prefect's stages and units to be closed", 30)
            wait_until(lambda: not self.scene.open_in_mlflow(), "MLflow's runs to be closed", 30)
        return f"{wanted} after {time.monotonic() - began:.1f} s"

    def end(self, way: str) -> str:
        """End `saeflow serve`, and look at the runs that were under way."""
        assert self.child is not None
        began = time.monotonic()
        self.child.send_signal(SIGNALS[way])
        code = self.child.wait(120)
        wait_until(lambda: not self.scene.processes(), "processes to end", GONE_WITHIN_S)
        if way != "kill":
            assert code == 0
            check_closed(self.scene)
        return f"code {code}, no process after {time.monotonic() - began:.1f} s"


def end_at_once(served: Serve) -> None:
    """Ctrl-C, and again while the runs write their checkpoints."""
    assert served.child is not None
    served.child.send_signal(signal.SIGINT)
    wait_until(lambda: "Ctrl-C again" in served.scene.terminal(), "serve to say that it waits for its runs", 30)
    served.child.send_signal(signal.SIGINT)
    served.child.wait(30)
    wait_until(lambda: not served.scene.processes(), "processes to end", GONE_WITHIN_S)


def _post(url: str, what: dict[str, Any]) -> Any:
    for _ in range(30):
        answer = httpx.post(url, json=what)
        if answer.status_code != 503:  # SQLite is busy: Prefect's own clients ask again, too
            break
        time.sleep(1)
    return answer.raise_for_status().json()


def _running(api: str) -> list[str]:
    wanted = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}, "parent_task_run_id": {"is_null_": True}}}
    return [run["id"] for run in _post(f"{api}/flow_runs/filter", wanted)]


def _cancel(api: str, run: str) -> None:
    """What the button in Prefect's pages sends."""
    _post(f"{api}/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})


def _state(api: str, run: str) -> str:
    return str(httpx.get(f"{api}/flow_runs/{run}").raise_for_status().json()["state"]["name"])
