"""Worker processes of this machine: another user of it neither runs code on them nor reads their pages."""

import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from flows.runtime.place import Place
from flows.runtime.profiles import LocalProfile, Pool
from flows.workers import open_workers

pytestmark = pytest.mark.timeout(300)

# Everything is imported as the user that the test runs as: another one may not read this Python.
ATTACK = """
import os, pwd, sys
import distributed
from distributed import Client, Security

address, secured = sys.argv[1], sys.argv[2] == "own-certificate"
security = Security.temporary() if secured else None
if os.getuid() == 0:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([]), os.setgid(nobody.pw_gid), os.setuid(nobody.pw_uid)
try:
    with Client(address, security=security, timeout="5s") as client:
        print("ran as", client.run_on_scheduler(os.getuid))
except (OSError, TypeError) as error:
    print("refused:", type(error).__name__)
"""


def attack(address: str, how: str) -> str:
    told = subprocess.run(
        [sys.executable, "-c", ATTACK, address, how], cwd="/", capture_output=True, text=True, timeout=60
    )
    assert told.stdout, told.stderr
    return told.stdout.strip()


def listening() -> set[tuple[str, int]]:
    """Where this process and those that it started listen."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    found = [place for one in family for place in one.net_connections("tcp") if place.status == psutil.CONN_LISTEN]
    return {(place.laddr.ip, place.laddr.port) for place in found}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, set[tuple[str, int]]]]:
    """The address of the scheduler of running workers, and every door that they opened."""
    before = listening()  # of servers that other tests share
    profile = LocalProfile(kind="local", cpu=Pool(workers=1), gpu=Pool(workers=1))
    place = Place("toy", "train_sae", tmp_path_factory.mktemp("workspace"))
    with open_workers(profile, profile.gpu, place, 1, print) as workers:
        yield workers.runner.address, listening() - before  # type: ignore[attr-defined]  # a DaskTaskRunner


def test_the_attack_works_on_workers_that_ask_for_no_certificate() -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=None) as cluster:
        assert attack(cluster.scheduler_address, "plain") == f"ran as {os.getuid()}"


@pytest.mark.parametrize("how", ["plain", "own-certificate"])
def test_another_user_is_refused(opened: tuple[str, set[tuple[str, int]]], how: str) -> None:
    address, _ = opened
    assert address.startswith("tls://127.0.0.1:")
    given = address if how == "own-certificate" else address.replace("tls://", "tcp://")
    assert attack(given, how).startswith("refused: ")


def test_every_port_is_on_loopback_and_answers_http_with_nothing(opened: tuple[str, set[tuple[str, int]]]) -> None:
    address, doors = opened
    assert {ip for ip, _ in doors} == {"127.0.0.1"}
    ports = {port for _, port in doors}
    assert urlsplit(address).port in ports and 8787 not in ports
    for port in ports:
        for page in ("/", "/status", "/info/main/workers.html", "/json/counts.json", "/metrics", "/health"):
            try:
                assert httpx.get(f"http://127.0.0.1:{port}{page}", timeout=5).status_code == 404
            except httpx.HTTPError:
                continue  # it speaks TLS
