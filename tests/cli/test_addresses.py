"""The ports that are printed are those in use."""

import http.server
import json
import os
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.addresses import addresses
from cli.servers import free_port, read_note, remove_note, write_note
from core.store.workspace import Workspace
from flows.runtime.settings import MLFLOW_PAGES, Settings

pytestmark = pytest.mark.usefixtures("own_prefect_server")


class _Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mlflow() -> Iterator[str]:
    """A server that says it is well, as MLflow's does."""
    server = http.server.HTTPServer(("127.0.0.1", 0), _Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def served(own_prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The workspace of the session's Prefect server."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with urllib.request.urlopen(f"{own_prefect_server}/admin/settings") as response:
        root = Path(json.load(response)["home"]).parent
    return Settings(Workspace(root), f"sqlite:///{root / 'mlflow.db'}", MLFLOW_PAGES)


def test_the_ports_of_a_running_serve_are_told_and_links_lead_there(
    served: Settings, own_prefect_server: str, mlflow: str
) -> None:
    write_note(served, own_prefect_server, mlflow)
    try:
        found = addresses(served)
    finally:
        remove_note(served)
    assert found.words == f"Prefect {own_prefect_server.removesuffix('/api')} · MLflow {mlflow}"
    page = f"{mlflow}/#/experiments/1/runs/ab?workflowType=machine_learning"
    for link in ("experiments/1/runs/ab", "experiments/1/runs/ab?workflowType=machine_learning"):
        assert found.rebased(f"http://127.0.0.1:5999/#/{link}") == page


def test_without_one_the_usual_ports_are_what_make_serve_would_take(served: Settings) -> None:
    assert addresses(served).words == (
        "not running; `make serve` starts Prefect: http://127.0.0.1:4200 · MLflow: http://127.0.0.1:5000"
    )


def test_a_note_that_a_kill_left_behind_is_not_believed(served: Settings, mlflow: str) -> None:
    """MLflow's port may be another workspace's by now."""
    write_note(served, f"http://127.0.0.1:{free_port()}/api", mlflow)
    assert "make serve" in addresses(served).words and mlflow not in addresses(served).words
    remove_note(served)


def test_the_note_of_another_serve_stays(tmp_path: Path) -> None:
    settings = Settings(Workspace(tmp_path), "", "")
    write_note(settings, "http://127.0.0.1:1/api", "http://127.0.0.1:2")
    note = read_note(settings)
    assert note is not None
    (tmp_path / "servers.json").write_text(json.dumps({**note, "pid": os.getppid()}))
    remove_note(settings)
    assert (tmp_path / "servers.json").exists()


def test_a_named_server_that_does_not_answer_is_told_as_that(served: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.invalid:4200/api")
    silent = f"http://127.0.0.1:{free_port()}"
    words = addresses(Settings(served.workspace, served.tracking_uri, silent)).words
    assert words == f"Prefect http://prefect.invalid:4200 does not answer · MLflow {silent} does not answer"
