"""SLURM is installed once, however many start one at the same time: apt refuses a second of itself."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from infra.slurm import one_node


def test_two_that_start_at_once_install_it_once_and_in_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    installed, running, overlaps, calls = threading.Event(), threading.Lock(), [], []

    def run(words: list[str], **_: Any) -> SimpleNamespace:
        overlaps.append(not running.acquire(blocking=False))
        time.sleep(0.05)
        calls.append(words[1])
        if words[1] == "install":
            installed.set()
        running.release()
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(one_node.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(one_node, "which", lambda _: "there" if installed.is_set() else None)
    monkeypatch.setattr(one_node.os, "getuid", lambda: 0)
    monkeypatch.setattr(one_node.subprocess, "run", run)
    both = [threading.Thread(target=one_node._install) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert calls == ["update", "install"] and not any(overlaps)
