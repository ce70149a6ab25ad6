"""Servers of several saeflow commands at once."""

import fcntl
import os
import socket
import tempfile
from pathlib import Path

import pytest

from cli import servers


def test_a_port_given_to_a_server_that_is_still_starting_is_not_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel, asked twice before anybody listens, may offer one port twice."""
    offered = iter([40001, 40002, 40002, 40003])

    class Probe:
        def __enter__(self) -> "Probe":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def bind(self, _address: object) -> None:
            pass

        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", next(offered)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(socket, "socket", Probe)
    monkeypatch.setattr(servers, "_CLAIMED", [])
    with (tmp_path / f"saeflow-{os.getuid()}-port-40001").open("wb") as other:  # another process, by its lock
        fcntl.flock(other, fcntl.LOCK_EX)
        assert servers.free_port() == 40002
        assert servers.free_port() == 40003
    for claim in servers._CLAIMED:
        claim.close()
