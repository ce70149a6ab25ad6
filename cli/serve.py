"""`saeflow serve`: Prefect, MLflow and the deployments, until Ctrl-C."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import psutil
import typer

from cli import explore
from cli.children import STOP_DEPLOYMENTS_S, start, stop, stop_alone, wait_for
from cli.explorer_beside import Beside, explorer_beside
from cli.flow_runs import Failures, close_left_over
from cli.servers import (
    check_port,
    check_prefect_database,
    healthy,
    mlflow_command,
    prefect_command,
    quiet_environment,
    remove_note,
    served_deployments,
    serves,
    write_note,
)
from cli.terminal import console
from flows.runtime.environment import set_environment, work_in
from flows.runtime.settings import TRAINING_RUNS, Settings, read_settings
from tasks.experiment import check_database
from tasks.tracking_database import make_tracking_database

# `prefect deployment run --watch` prints what the server streams of a run's log; sent soon, for it leaves soon after
# the run has failed.
_SHOW_LOGS = {
    "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED": "true",
    "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED": "true",
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",
}


def serve(
    prefect_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Prefect's server and pages.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of MLflow's server and pages.")] = 5000,
    explorer_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the explorer of studies that have run; 0: none.")
    ] = explore.PORT,
) -> None:
    """Start Prefect, MLflow and the explorer on loopback and serve the deployments; one Ctrl-C ends it all."""
    settings = read_settings()
    settings.workspace.check_writable()
    check_database(settings.tracking_uri)
    check_prefect_database(settings)
    check_port(prefect_port, "Prefect", "--prefect-port")
    check_port(mlflow_port, "MLflow", "--mlflow-port")
    work_in(settings.workspace.root / "prefect")
    api, pages = f"http://127.0.0.1:{prefect_port}/api", f"http://127.0.0.1:{mlflow_port}"
    environment = {
        **quiet_environment(settings),
        **_SHOW_LOGS,
        "PREFECT_API_URL": api,
        "SAEFLOW_MLFLOW_URL": pages,
    }
    logs = settings.workspace.root / "logs"
    began, before = time.monotonic(), _seconds_before(settings)
    with _children(settings) as children, explorer_beside(explorer_port, environment, logs) as explorer:
        last = f"{before:.0f} s the last time" if before else "one to two minutes the first time"
        console.print(f"starting Prefect and MLflow ({last}) …")
        prefect = start(prefect_command(prefect_port), environment, logs / "prefect-server.log")
        children.append(prefect)
        make_tracking_database(settings.tracking_uri, settings.workspace.root / "mlartifacts")
        mlflow = start(mlflow_command(settings, mlflow_port), environment, logs / "mlflow-server.log")
        children.append(mlflow)
        wait_for(prefect, lambda: serves(api, settings), "the Prefect server", logs / "prefect-server.log")
        set_environment(environment)  # Prefect reads it when it is imported
        close_left_over(settings, api)  # before the deployments ask for the slots that are released
        deployments = start([sys.executable, "-m", "flows.serve"], environment, logs / "deployments.log")
        children.append(deployments)
        wait_for(mlflow, lambda: healthy(f"{pages}/health"), "the MLflow server", logs / "mlflow-server.log")
        wait_for(deployments, lambda: served_deployments(api) >= 3, "the deployments", logs / "deployments.log")
        write_note(settings, api, pages, explorer.url)
        _start_up(settings).write_text(f"{time.monotonic() - began:.1f}\n", encoding="utf-8")
        console.print(f"ready after {time.monotonic() - began:.0f} s")
        _tell(api, pages, logs)
        explorer.tell()
        named = {"the Prefect server": prefect, "the MLflow server": mlflow, "the deployments": deployments}
        _watch(named, Failures(api), lambda: close_left_over(settings, api), explorer)


def _start_up(settings: Settings) -> Path:
    return settings.workspace.root / "logs" / "serve-start-up-seconds"


def _seconds_before(settings: Settings) -> float | None:
    """How long the last start took in this workspace; null before the first."""
    try:
        return float(_start_up(settings).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _tell(api: str, pages: str, logs: Path) -> None:
    console.print(f"[green]✓[/green] Prefect  {api.removesuffix('/api')}")
    console.print(f"[green]✓[/green] MLflow   {pages}/#/experiments{TRAINING_RUNS}")
    console.print(f"  logs     {logs}")
    console.print("In another shell, in this folder:")
    if not api.startswith("http://127.0.0.1:4200/"):
        console.print(f"  export PREFECT_API_URL={api}")
    console.print("  .venv/bin/prefect deployment run full-analysis/demo --watch")
    console.print("Ctrl-C ends all of it.")


def _watch(
    children: dict[str, "subprocess.Popen[bytes]"], failures: Failures, close: Callable[[], None], explorer: Beside
) -> None:
    while True:
        explorer.tell_if_ended()
        if failed := failures.new():
            for reason in failed:
                console.print("[red]✗[/red]", end=" ")
                console.print(reason, markup=False)
            close()  # of a process that was killed Prefect closes only the run at its top
        for name, child in children.items():
            try:
                code = child.wait(timeout=1.0)
            except subprocess.TimeoutExpired:
                continue
            console.print(f"{name} ended with code {code}; stopping the rest (its log tells why)")
            raise SystemExit(1)


@contextmanager
def _children(settings: Settings) -> Iterator[list["subprocess.Popen[bytes]"]]:
    children: list[subprocess.Popen[bytes]] = []
    try:
        yield children
    except KeyboardInterrupt:
        console.print("stopping …")
    finally:
        remove_note(settings)
        try:
            _stop(children)
        except KeyboardInterrupt:
            console.print("ended at once; the next start closes what is open")
            for child in children:
                stop(child, limit_s=0)


def _stop(children: list["subprocess.Popen[bytes]"]) -> None:
    """End the deployments first: their runs write checkpoints and report to the servers, which end after them."""
    servers, deployments = children[:2], children[2:]
    for child in deployments:
        if child.poll() is None and psutil.Process(child.pid).children():
            console.print("  runs under way write their checkpoints; Ctrl-C again ends them at once")
        stop_alone(child, STOP_DEPLOYMENTS_S)
    for child in reversed(servers):
        stop(child)
