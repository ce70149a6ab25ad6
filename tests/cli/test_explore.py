"""`saeflow explore` as a process, and as a part of `saeflow serve` that takes nothing down with it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cli.explorer_beside import explorer_beside
from cli.servers import free_port, healthy
from tests.explorer.world import World, make_world
from tests.flows.commands import PROJECT, environment, saeflow_here


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("explored") / "workspace", tmp_path_factory.mktemp("layer"))


@contextmanager
def explored(root: Path, terminal: Path, *words: str) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    command = [sys.executable, "-m", "cli", "explore", "--port", "0", *words]
    with terminal.open("wb") as output:
        shell = environment(root)
        child = subprocess.Popen(command, cwd=PROJECT, env=shell, stdout=output, stderr=output)
    try:
        wait_until(lambda: "Ctrl-C ends it" in terminal.read_text() or child.poll() is not None)
        (url,) = re.findall(r"explorer (http://\S+)", terminal.read_text())
        yield child, url
    finally:
        child.kill()
        child.wait()


def wait_until(ready: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def asked_raw(url: str, request: bytes) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        return connection.makefile("rb").read()


def test_a_process_answers_refuses_and_ends_in_order(world: World, tmp_path: Path) -> None:
    with explored(world.workspace.root, tmp_path / "terminal", "cats", "--layer", "0") as (child, url):
        maps = Path(f"/proc/{child.pid}/maps")
        assert httpx.get(f"{url}/activations/4").json()["total"] > 0
        assert not maps.exists() or "torch" not in maps.read_text()
        long = asked_raw(
            url, b"GET /studies?x=" + b"y" * 1_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        )
        assert long.startswith(b"HTTP/1.1 414 ") and b"ask with at most 8192" in long
        up = asked_raw(
            url, b"GET /images/../../../etc/passwd?study=cats HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        )
        assert up.startswith(b"HTTP/1.1 404 ") and b"root:" not in up
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
    assert "Traceback" not in (tmp_path / "terminal").read_text()


def test_a_token_is_made_and_asked_for_beyond_this_machine(world: World, tmp_path: Path) -> None:
    with explored(world.workspace.root, tmp_path / "terminal", "--host", "0.0.0.0") as (_, url):
        (token,) = re.findall(r"token +(\S+)", (tmp_path / "terminal").read_text())
        url = url.replace("0.0.0.0", "127.0.0.1")
        assert len(token) >= 32 and httpx.get(f"{url}/studies").status_code == 401
        known = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{url}/studies", headers=known).status_code == 200


def test_what_cannot_be_served_is_told_in_a_line(world: World) -> None:
    root = world.workspace.root
    for words, told in (
        (["dogs"], "study 'dogs': has not run in "),
        (["cats", "--layer", "7"], "layer 7 of cats is not there; ask for one of 0"),
        (["--host", "192.0.2.1"], "explorer: 192.0.2.1:4300: Cannot assign requested address; choose another"),
    ):
        ended = saeflow_here(root, "explore", *words)
        assert ended.returncode == 1 and told in ended.stderr and ended.stderr.count("\n") == 1
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = saeflow_here(root, "explore", "--port", str(taken.getsockname()[1]))
        assert ended.returncode == 1 and "Address already in use; choose another --port or --host" in ended.stderr


def test_help_shows_what_to_ask(world: World) -> None:
    told = saeflow_here(world.workspace.root, "explore", "--help").stdout
    assert "curl" in told and "/features?sort=-association" in told and "SAEFLOW_EXPLORER_TOKEN" in told


def test_beside_others_it_answers_and_its_end_is_told_once(
    world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    with explorer_beside(port, environment(world.workspace.root) | {"PYTHONPATH": str(PROJECT)}, tmp_path) as explorer:
        wait_until(lambda: healthy(f"http://127.0.0.1:{port}/health"))
        explorer.tell_if_ended()
        assert explorer.url == f"http://127.0.0.1:{port}"
        assert explorer._child is not None
        os.kill(explorer._child.pid, signal.SIGKILL)
        explorer._child.wait()
        explorer.tell_if_ended()
        explorer.tell_if_ended()
        assert explorer.url is None
    assert capfd.readouterr().err.count("the explorer ended with code -9") == 1


def test_a_taken_port_leaves_it_out_and_none_is_asked_for_at_port_0(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with explorer_beside(int(taken.getsockname()[1]), {}, tmp_path) as explorer:
            assert explorer.url is None
        told = capfd.readouterr().err
        assert "choose one with --explorer-port; the rest starts without it" in told
    with explorer_beside(0, {}, tmp_path) as explorer:
        assert explorer.url is None
    assert capfd.readouterr().err == ""
