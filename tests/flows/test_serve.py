"""`saeflow serve` and `prefect deployment run`, as a user types them in two shells."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from cli.serve import _seconds_before
from cli.servers import free_port
from core.store.workspace import Workspace
from flows.runtime.settings import Settings
from tests.databases import CopyDatabases, linked_copy
from tests.flows.commands import PROJECT, environment, saeflow_here
from tests.flows.surroundings import ODD_NAME

pytestmark = pytest.mark.timeout(1500)


@dataclass(frozen=True)
class Served:
    workspace: Path
    api: str
    mlflow: str
    explorer: str
    terminal: Path

    def deployment_run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "prefect", "deployment", "run", *words, "--watch"]
        shell = {**environment(self.workspace), "PREFECT_API_URL": self.api}
        return subprocess.run(command, cwd=PROJECT, env=shell, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def served(
    mini_workspace: Path, tmp_path_factory: pytest.TempPathFactory, copy_databases: CopyDatabases
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("serve")
    workspace, terminal = folder / ODD_NAME, folder / "terminal"
    linked_copy(mini_workspace, workspace, copy_databases)
    ports = {name: str(free_port()) for name in ("prefect", "mlflow", "explorer")}
    chosen = [word for name, port in ports.items() for word in (f"--{name}-port", port)]
    command = [sys.executable, "-m", "cli", "serve", *chosen]
    with terminal.open("wb") as output:
        # Of another Prefect: read by serve itself, every client would fail.
        shell = {**environment(workspace), "PREFECT_API_SSL_CERT_FILE": "/nowhere/ca.pem"}
        child = subprocess.Popen(command, cwd=PROJECT, env=shell, stdout=output, stderr=output, start_new_session=True)
    note = workspace / "servers.json"
    try:
        deadline = time.monotonic() + 240
        while not note.exists():
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.5)
        urls = json.loads(note.read_text())
        yield Served(workspace, urls["api"], urls["mlflow"], urls["explorer"], terminal)
    finally:
        family = psutil.Process(child.pid).children(recursive=True)
        os.kill(child.pid, signal.SIGINT)
        child.wait(60)
        assert not note.exists()
        assert not [process for process in family if process.is_running() and process.status() != "zombie"]


def test_the_explorer_is_served_beside(served: Served) -> None:
    assert f"explorer {served.explorer}" in served.terminal.read_text("utf-8")
    studies = httpx.get(f"{served.explorer}/studies", timeout=30).json()
    assert [study["name"] for study in studies] == ["mini"] and studies[0]["layers"] == [0, 9, 17, 33]


@pytest.mark.parametrize(
    "words",
    [
        ("full-analysis/local", "--params", '{"study": "mini.yaml"}'),
        ("single-layer/local", "--param", "layer=17", "--param", "study=mini"),
    ],
    ids=["full-analysis", "single-layer"],
)
def test_a_deployment_runs_to_success(served: Served, words: tuple[str, ...]) -> None:
    result = served.deployment_run(*words)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "stage train_sae begins: " in result.stdout and "stage index_features is done after " in result.stdout


def test_every_deployment_is_served(served: Served) -> None:
    asked = httpx.post(f"{served.api}/deployments/filter", json={}, timeout=30).json()
    named = yaml.safe_load((PROJECT / "prefect.yaml").read_text("utf-8"))["deployments"]
    assert sorted(one["name"] for one in asked) == sorted(one["name"] for one in named)
    assert len(named) == 9


def test_start_up_tells_how_long_it_took_and_the_next_one_says_so(served: Served) -> None:
    told = served.terminal.read_text("utf-8")
    (seconds,) = re.findall(r"^ready after (\d+) s$", told, re.MULTILINE)
    assert "one to two minutes the first time" in told
    assert _seconds_before(Settings(Workspace(served.workspace), "", "")) == pytest.approx(float(seconds), abs=1)


def test_a_wrong_study_fails_in_one_line_that_every_terminal_prints(served: Served) -> None:
    result = served.deployment_run("full-analysis/local", "--param", "study=mnii")
    assert result.returncode != 0
    reason = "study 'mnii': no such file in"
    assert reason in result.stdout and "did you mean mini?" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    deadline = time.monotonic() + 30
    while f"full-analysis mnii failed: {reason}" not in served.terminal.read_text("utf-8"):
        assert time.monotonic() < deadline, served.terminal.read_text("utf-8")
        time.sleep(0.5)
    asked = urllib.request.Request(
        f"{served.api}/flow_runs/filter",
        json.dumps({"sort": "START_TIME_DESC", "limit": 1}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked) as response:
        (run,) = json.load(response)
    assert "did you mean mini?" in run["state"]["message"]


def test_a_wrong_concept_fails_in_one_line_too(served: Served) -> None:
    result = served.deployment_run("concept-scan/local", "--param", "concept=agression")
    assert result.returncode != 0 and "did you mean aggression?" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_both_pages_answer(served: Served) -> None:
    for url in (served.api.removesuffix("/api"), served.mlflow):
        with urllib.request.urlopen(url) as response:
            assert b"<html" in response.read().lower()


def test_status_prints_the_ports_in_use(served: Served) -> None:
    told = saeflow_here(served.workspace, "status").stdout
    assert f"servers  Prefect {served.api.removesuffix('/api')} · MLflow {served.mlflow}" in told
    assert f"MLflow  {served.mlflow}/#/experiments/" in told and "127.0.0.1:5000" not in told


@pytest.mark.parametrize(
    "foreign", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Host": "10.0.0.1:5000"}], ids=str
)
def test_no_server_answers_another_site_s_page(served: Served, foreign: dict[str, str]) -> None:
    asked = (f"{served.api}/flow_runs/filter", f"{served.mlflow}/api/2.0/mlflow/experiments/create")
    for url in asked:
        answer = httpx.post(url, json={"name": "theirs"}, headers=foreign)
        assert answer.status_code in (400, 403)
        assert "access-control-allow-origin" not in answer.headers
    read = httpx.get(f"{served.mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0", headers=foreign)
    assert "access-control-allow-origin" not in read.headers  # the browser keeps the answer from the page
    assert read.status_code == (403 if "Host" in foreign else 200)
