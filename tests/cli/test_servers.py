"""Which Prefect server a command talks to, and what it says when that one goes away."""

import json
import urllib.request
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from cli.flow_call import call_flow
from cli.servers import check_prefect_database, free_port, remove_note, served_api, write_note
from core.errors import BadInput
from core.planning.loading import load_study
from core.store.workspace import Workspace
from flows.runtime.settings import PROJECT, Settings
from tasks.experiment import check_database
from tests.databases import CopyDatabases


def settings(root: Path) -> Settings:
    return Settings(Workspace(root.resolve()), "", "")


def test_the_note_of_a_copied_workspace_is_not_believed(
    own_prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server it names is the neighbour's, and would take the flow with it when it ends."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with urllib.request.urlopen(f"{own_prefect_server}/admin/settings") as response:
        served = settings(Path(json.load(response)["home"]).parent)
    copied = settings(tmp_path)
    for one in (served, copied):
        write_note(one, own_prefect_server, "")
    assert served_api(served) == own_prefect_server
    assert served_api(copied) is None
    remove_note(served)
    assert served_api(served) is None


def test_a_server_that_went_away_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", api)
    monkeypatch.setenv("SAEFLOW_WORKSPACE", str(tmp_path))
    study = load_study(PROJECT / "deployments" / "studies" / "mini.yaml")
    with temporary_settings({PREFECT_API_URL: api}):
        outcome = call_flow("full-analysis", {"study": study, "cluster": "threads"})
    assert outcome.error is not None
    assert outcome.error.startswith(f"the Prefect server at {api} went away in the middle")
    assert "\n" not in outcome.error


def test_a_damaged_database_is_told_in_a_line_before_its_server_starts(
    tmp_path: Path, copy_databases: CopyDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    copy_databases(tmp_path)
    check_prefect_database(settings(tmp_path))
    for name in ("prefect/prefect.db", "mlflow.db"):
        with (tmp_path / name).open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 8192)
    with pytest.raises(BadInput, match=r"prefect\.db is damaged .* move it away with its -wal and -shm"):
        check_prefect_database(settings(tmp_path))
    with pytest.raises(BadInput, match=r"mlflow\.db"):
        check_database(f"sqlite:///{tmp_path / 'mlflow.db'}")
