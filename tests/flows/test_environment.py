"""What a shell, a site or a configuration file around saeflow may hold, and what reaches a study of it."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dask.config
import httpx
import pytest
import requests
from websockets.asyncio.server import serve

from core.errors import BadInput
from core.store.workspace import Workspace
from flows.runtime.environment import direct_hosts, for_servers, for_slurm, neutral_dask, settle, settled, taken
from flows.runtime.place import Place
from flows.runtime.profiles import LocalProfile, Pool, SlurmProfile, load_profile
from flows.runtime.settings import PROJECT, Settings
from flows.slurm.job import JobOrder, example_script, job_script, open_cluster
from flows.workers import open_workers
from tests.flows.surroundings import DEAD_PROXY as DEAD
from tests.flows.surroundings import hostile_home


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"here")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def loopback() -> Iterator[str]:
    """A server of this machine."""
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies, given back after the test whatever it sets."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "")  # so that it is taken back after
        monkeypatch.delenv(name)
    monkeypatch.setattr("urllib.request._opener", None)  # the first `urlopen` keeps its proxies for the process
    return monkeypatch


PROXIES = [
    {"HTTP_PROXY": DEAD},
    {"http_proxy": DEAD, "NO_PROXY": "example.org"},
    {"HTTP_PROXY": DEAD, "no_proxy": "example.org,fd00::/8,[::1]"},  # httpx starts with none of the last two
    {"ALL_PROXY": "socks5://127.0.0.1:9"},
    {"all_proxy": "socks5h://127.0.0.1:9", "http_proxy": DEAD},
    {"http_proxy": "http://127.0.0.1:port"},
    {"http_proxy": DEAD, "SSL_CERT_FILE": "/nowhere/ca.pem"},
]


@pytest.mark.parametrize("given", PROXIES, ids=lambda given: " ".join(given))
def test_loopback_is_never_asked_through_a_proxy(
    given: dict[str, str], loopback: str, bare: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        bare.setenv(name, value)
    settle()
    with urllib.request.urlopen(loopback, timeout=5) as answer:
        assert answer.read() == b"here"
    assert requests.get(loopback, timeout=5).text == "here"
    assert httpx.get(loopback, timeout=5).text == "here"
    assert httpx.get(loopback.replace("127.0.0.1", "localhost"), timeout=5).text == "here"
    assert asyncio.run(_said_by_a_websocket()) == "here"


async def _said_by_a_websocket() -> str | bytes:
    from prefect._internal.websockets import websocket_connect

    async with serve(lambda socket: socket.send("here"), "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with websocket_connect(f"ws://127.0.0.1:{port}") as socket:
            return await asyncio.wait_for(socket.recv(), 5)


def test_a_proxy_stays_in_force_for_everything_else(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("https_proxy", "http://proxy:3128")
    bare.setenv("http_proxy", DEAD)
    bare.setenv("NO_PROXY", "intranet.example.org")
    settle()
    assert os.environ["https_proxy"] == "http://proxy:3128"
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "intranet.example.org,127.0.0.1,localhost,::1"
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("http://hooks.example.org", timeout=5)
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://hooks.example.org", timeout=5)


def test_cleaning_twice_changes_nothing(bare: pytest.MonkeyPatch) -> None:
    for name, value in {"http_proxy": DEAD, "DASK_CONFIG": "/x", "MLFLOW_RUN_ID": "1"}.items():
        bare.setenv(name, value)
    settle()
    once = dict(os.environ)
    settle()
    assert dict(os.environ) == once
    assert "DASK_CONFIG" not in once and taken()["DASK_CONFIG"] == "/x"


def test_this_machine_is_asked_directly_where_it_serves_under_its_own_name() -> None:
    own = "127.0.0.2"  # on Linux all of 127.0.0.0/8 is this machine's
    assert direct_hosts({"PREFECT_API_URL": f"http://{own}:4200/api"})[-1] == own
    assert direct_hosts({"PREFECT_API_URL": "https://192.0.2.1/api"}) == direct_hosts({})  # somebody else's
    assert direct_hosts({"PREFECT_API_URL": "http://[::1"}) == direct_hosts({})


def test_slurm_s_commands_get_no_options_formats_or_job_of_the_user() -> None:
    foreign = ("SBATCH_PARTITION", "SBATCH_TIMELIMIT", "SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SALLOC_QOS", "SRUN_DEBUG")
    foreign += ("SQUEUE_FORMAT", "SQUEUE_FORMAT2", "SACCT_FORMAT", "SINFO_FORMAT", "SLURM_TIME_FORMAT")
    foreign += ("SCANCEL_STATE", "SCONTROL_ALL", "CUDA_VISIBLE_DEVICES", "SAEFLOW_JOB_ENDS")
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SLURM_CLUSTERS": "big", "PATH": "/bin", "LC_ALL": "ar_EG.UTF-8"}
    given = dict.fromkeys(foreign, "1") | kept
    assert for_slurm(given, "sbatch") == kept
    assert for_slurm(given, "squeue") == kept | {"LC_ALL": "C"}


def test_prefect_and_mlflow_settings_reach_our_servers_only_where_they_are_theirs() -> None:
    prefect = {"PREFECT_API_URL": "http://login1/api", "PREFECT_API_KEY": "k", "PREFECT_API_AUTH_STRING": "a:b"}
    mlflow = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "p"}
    foreign = dict.fromkeys(
        ("PREFECT_PROFILE", "PREFECT_HOME", "PREFECT_TASKS_DEFAULT_RETRIES", "PREFECT_API_DATABASE_CONNECTION_URL")
        + ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_LOGGING_LEVEL", "MLFLOW_STATIC_PREFIX", "MLFLOW_HOST"),
        "x",
    )
    http = {"SAEFLOW_TRACKING_URI": "https://mlflow.example.org"}
    assert for_servers({**prefect, **mlflow, **foreign}, own_prefect=True) == {}
    assert for_servers({**prefect, **mlflow, **foreign, **http}, own_prefect=False) == {**prefect, **mlflow, **http}


def asked(code: str, home: Path, **environment: str) -> str:
    """What Python prints in a process of its own, in `home`."""
    surroundings = {**os.environ, "HOME": str(home), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=surroundings, cwd=home, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def hostile_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process as Dask finds it where the user's home holds that configuration; children find it too."""
    home = hostile_home(tmp_path)
    monkeypatch.setenv("HOME", str(home))
    before = list(dask.config.paths)
    dask.config.paths[:] = [str(home / ".config" / "dask")]
    neutral_dask.cache_clear()
    dask.config.refresh()
    assert dask.config.get("jobqueue.slurm.cores") == 24
    yield home
    dask.config.paths[:] = before
    neutral_dask.cache_clear()
    dask.config.refresh()


def test_the_profile_decides_over_the_user_s_dask_configuration(hostile_dask: Path) -> None:
    profile = load_profile(PROJECT / "deployments" / "clusters" / "slurm-one-node.yaml")
    assert isinstance(profile, SlurmProfile)
    order = JobOrder(Place("demo", "train_sae", hostile_dask / "workspace"), profile, profile.gpu)
    with open_cluster(order) as cluster:
        scripts = [example_script(order), job_script(cluster)]
    late = {"job-mem": "100GB", "extra": ["--nobody"], "job-extra": ["-p nobody"], "shebang": "#!/bin/tcsh"}
    with dask.config.set({f"jobqueue.slurm.{name}": value for name, value in late.items()}):
        scripts.append(example_script(order))
    for script in scripts:
        assert script.startswith("#!/usr/bin/env bash\n")
        assert "#SBATCH --mem=4G\n" in script and "#SBATCH --cpus-per-task=1\n" in script
        assert f"\n{sys.executable} -m flows.slurm.worker tls://" in script
        assert not [word for word in ("tcsh", "/opt/old", "100G", "=24", "nobody", "--nworkers") if word in script]


def test_worker_processes_do_not_load_what_the_user_s_dask_configuration_names(hostile_dask: Path) -> None:
    from distributed import Client

    place = Place("demo", "capture", hostile_dask)
    with open_workers(LocalProfile(kind="local"), Pool(workers=1), place, 1, print) as workers:
        assert dask.config.get("distributed.scheduler.allowed-failures") == 0
        with Client(workers.runner.address, **workers.runner.client_kwargs) as client:
            assert client.submit(dask.config.get, "distributed.worker.preload").result(60) == []


def test_a_dask_configuration_with_which_no_process_starts_is_named_in_a_line(hostile_dask: Path) -> None:
    bad = hostile_dask / ".config" / "dask" / "logging.yaml"
    bad.write_text("logging: {version: 1, handlers: {file: {class: logging.FileHandler, filename: /nowhere/x.log}}}")
    place = Place("demo", "capture", hostile_dask)
    with (
        pytest.raises(BadInput, match=rf"do not start: .*Dask reads .*{bad} as it is imported: correct them") as told,
        open_workers(LocalProfile(kind="local"), Pool(workers=1), place, 1, print),
    ):
        pass
    assert "\n" not in str(told.value)


def test_a_dask_configuration_that_is_no_yaml_is_named_in_a_line(tmp_path: Path) -> None:
    home = hostile_home(tmp_path)
    broken = home / ".config" / "dask" / "broken.yaml"
    broken.write_text("a: [1\nb: 2")
    words = [sys.executable, "-m", "cli", "--workspace", str(tmp_path / "w"), "run", "mini", "--cluster", "local"]
    surroundings = {**os.environ, "HOME": str(home)}
    told = subprocess.run(words, env=surroundings, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert told.returncode == 1 and told.stderr.count("\n") == 1
    assert f"{broken}' is malformed" in told.stderr and "move it away" in told.stderr


PREFECT = """
import json, os
from flows.runtime.environment import work_in
from cli.servers import adopt
from core.errors import BadInput
from core.store.workspace import Workspace
from flows.runtime.settings import Settings, started_in
from pathlib import Path
adopt(Settings(Workspace(Path.home() / "workspace"), "", ""), os.environ.get("SERVED"))
work_in(Path.home() / "workspace" / "prefect")
from prefect.settings import get_current_settings
seen = get_current_settings()
print(json.dumps({
    "url": seen.api.url, "key": seen.api.key and "given", "retries": seen.tasks.default_retries,
    "level": seen.logging.level, "home": str(seen.home), "folder": str(started_in()),
    "database": seen.server.database.connection_url.get_secret_value(),
}))
"""


def test_prefect_has_saeflow_s_settings_whatever_profile_variable_or_file_is_there(tmp_path: Path) -> None:
    home = hostile_home(tmp_path)
    (home / ".env").write_text("PREFECT_TASKS_DEFAULT_RETRIES=7\nPREFECT_LOGGING_LEVEL=DEBUG\n")
    (home / "prefect.toml").write_text("[api")  # no TOML at all
    (home / "pyproject.toml").write_text('[tool.prefect.api]\nurl = "http://127.0.0.1:9/api"\n')
    foreign = {
        "PREFECT_PROFILE": "cloud",
        "PREFECT_API_KEY": "secret",
        "PREFECT_TASKS_DEFAULT_RETRIES": "5",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////nowhere/x.db",
    }
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        foreign.setdefault(name, "")
    served = "http://127.0.0.1:4200/api"
    seen = json.loads(asked(PREFECT, home, **foreign, SERVED=served))
    assert seen == {
        "url": served,
        "key": None,
        "retries": 0,
        "level": "INFO",
        "home": str(home / "workspace" / "prefect"),
        "folder": str(home),
        "database": f"sqlite+aiosqlite:///{home}/workspace/prefect/prefect.db",
    }


def test_settings_of_a_whole_environment_are_left_in_peace() -> None:
    ordinary = {"PATH": "/bin", "HOME": "/home/me", "LANG": "ar_EG.UTF-8", "HF_HOME": "/hub", "PYTHONPATH": "/mine"}
    direct = "127.0.0.1,localhost,::1"
    assert settled(ordinary) == ordinary | {"NO_PROXY": direct, "no_proxy": direct}


def test_a_server_that_is_asked_for_is_told_its_own_settings_only(tmp_path: Path, bare: pytest.MonkeyPatch) -> None:
    from cli.servers import quiet_environment

    bare.setenv("MLFLOW_STATIC_PREFIX", "/ml")
    bare.setenv("UVICORN_PORT", "1")
    bare.setenv("SBATCH_PARTITION", "debug")
    given = quiet_environment(Settings(Workspace(tmp_path), "", ""))
    assert "MLFLOW_STATIC_PREFIX" not in given and "UVICORN_PORT" not in given
    assert given["MLFLOW_DISABLE_TELEMETRY"] == "true"
