"""Prefect and MLflow servers on loopback, as child processes that end with this one."""

import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cli import ONE_THREAD
from cli.children import start, stop, wait_for
from core.errors import BadInput
from core.store.databases import damage_of
from flows.runtime.environment import LOOPBACK, for_servers, set_environment, settle, settled
from flows.runtime.settings import Settings
from tasks.tracking_database import sqlite_url


def quiet_environment(settings: Settings, own_prefect: bool = True) -> dict[str, str]:
    """Variables for every child: Prefect's home in the workspace, no phoning home, nobody else's settings.

    `own_prefect` is false where the API is another's, whose password the children need.
    """
    home = settings.workspace.root / "prefect"
    return {
        **for_servers(settled(os.environ), own_prefect),
        **ONE_THREAD,
        "PREFECT_HOME": str(home),
        "PREFECT_API_DATABASE_CONNECTION_URL": sqlite_url("sqlite+aiosqlite", home / "prefect.db"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "saeflow",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "SAEFLOW_WORKSPACE": str(settings.workspace.root),
        "PYTHONSAFEPATH": "1",
    }


def adopt(settings: Settings, api: str | None) -> None:
    """Make the quiet environment this process's, before Prefect is imported; `api` is null where one will start."""
    set_environment(quiet_environment(settings, own_prefect=api is None or api != os.environ.get("PREFECT_API_URL")))
    if api is not None:
        os.environ["PREFECT_API_URL"] = api


# A server that ends with its run keeps no blocks: to register their types takes a third of its start.
_FOR_A_RUN = {"PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false"}


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_port(port: int, name: str, option: str) -> None:
    """Make sure a port is free.

    Raises:
        BadInput: somebody listens on it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(
                f"{name}: port {port} of 127.0.0.1 is taken (a `saeflow serve` of yours?); choose one with {option}"
            ) from error


def healthy(url: str) -> bool:
    """Whether an HTTP server answers 200 at `url`."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def serves(api: str, settings: Settings) -> bool:
    """Whether a Prefect server answers at `api` and is this workspace's. Another's may be there: a copied workspace
    brings its neighbour's note along, and a port may have been given away twice."""
    try:
        with urllib.request.urlopen(f"{api}/admin/settings", timeout=2) as response:
            home = str(json.load(response)["home"])
    except (urllib.error.URLError, OSError, ValueError, KeyError):
        return False
    return Path(home) == settings.workspace.root / "prefect"


def check_prefect_database(settings: Settings) -> None:
    """Make sure that Prefect's database, where it is there, is whole: from a damaged one its server starts, and hangs.

    Raises:
        BadInput: it is damaged.
    """
    database = settings.workspace.root / "prefect" / "prefect.db"
    if damage := damage_of(database):
        raise BadInput(
            f"Prefect's database {database} is damaged ({damage}); move it away with its -wal and -shm: the record of "
            "earlier runs is lost, no result is"
        )


def served_deployments(api: str) -> int:
    """How many deployments the API knows."""
    asked = urllib.request.Request(f"{api}/deployments/count", b"{}", {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=5) as response:
            return int(response.read())
    except (urllib.error.URLError, OSError, ValueError):
        return 0


def prefect_command(port: int) -> list[str]:
    """The command line of a Prefect server."""
    return [sys.executable, "-m", "cli.prefect_server", str(port)]


def mlflow_command(settings: Settings, port: int) -> list[str]:
    """The command line of an MLflow server over the workspace's database."""
    artifacts = (settings.workspace.root / "mlartifacts").as_uri()
    return [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--allowed-hosts",
        ",".join(pattern for name in ("127.0.0.1", "localhost") for pattern in (name, f"{name}:*")),
        "--backend-store-uri",
        settings.tracking_uri,
        "--default-artifact-root",
        artifacts,
    ]


def served_api(settings: Settings) -> str | None:
    """The Prefect API that PREFECT_API_URL names, or that of a running `saeflow serve` over this workspace, or null.

    Raises:
        BadInput: PREFECT_API_URL names a server that does not answer.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given and healthy(f"{given}/health"):
        return given
    # One of this machine was that of a `saeflow serve` that has ended.
    if given and urlsplit(given).hostname not in LOOPBACK:
        raise BadInput(f"PREFECT_API_URL: {given} does not answer; start that server, or unset the variable")
    note = read_note(settings)
    return str(note["api"]) if note and serves(str(note["api"]), settings) else None


def _note(settings: Settings) -> Path:
    return settings.workspace.root / "servers.json"


def write_note(settings: Settings, api: str, mlflow: str, explorer: str | None = None) -> None:
    """Leave word where the servers of this workspace are; whoever looks meanwhile sees all of it or nothing. The
    explorer is null where it is not served."""
    note = _note(settings)
    written = note.with_name(f".{note.name}.{os.getpid()}")
    written.write_text(
        json.dumps({"api": api, "mlflow": mlflow, "explorer": explorer, "pid": os.getpid()}), encoding="utf-8"
    )
    written.replace(note)


def read_note(settings: Settings) -> dict[str, Any] | None:
    """Where the servers of this workspace are, if somebody left word; whether they still are is to be asked."""
    try:
        note = dict(json.loads(_note(settings).read_text(encoding="utf-8")))
        return note if {"api", "mlflow", "pid"} <= note.keys() else None
    except (OSError, ValueError, TypeError):
        return None


def remove_note(settings: Settings) -> None:
    """Take the word back; another `saeflow serve` over this workspace keeps its own."""
    note = read_note(settings)
    if note is None or note["pid"] == os.getpid():
        _note(settings).unlink(missing_ok=True)


@contextmanager
def prefect_api(settings: Settings, meanwhile: Callable[[], object] = lambda: None) -> Iterator[str]:
    """A Prefect API for the block: the one that is served, or one started for it and stopped after.

    `meanwhile` is called while a server starts, which takes as long as importing Prefect, PyTorch and MLflow does.
    """
    settle()
    api = served_api(settings)
    adopt(settings, api)
    if api is not None:
        yield api
        return
    check_prefect_database(settings)
    port = free_port()
    api, log = f"http://127.0.0.1:{port}/api", settings.workspace.root / "logs" / "prefect-server.log"
    os.environ |= {"PREFECT_API_URL": api, "SAEFLOW_PREFECT_ENDS": "1"}
    child = start(prefect_command(port), os.environ | _FOR_A_RUN, log)
    try:
        meanwhile()
        wait_for(child, lambda: serves(api, settings), "the Prefect server", log)
        yield api
    finally:
        os.environ.pop("SAEFLOW_PREFECT_ENDS", None)
        stop(child)
