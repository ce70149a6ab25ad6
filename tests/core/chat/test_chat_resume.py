"""Processes that ask the same, are killed and go on, and an endpoint that is killed: nothing is paid for twice.

The endpoint is a fake in a process of its own, which writes down every question before it answers.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.core.chat.conftest import Client, questions
from tests.flows.commands import PROJECT

COUNT = 30
EXPECTED = [f"answer to question {number}" for number in range(COUNT)]


class Fake:
    """The endpoint's process; started again, it listens on the same port."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._log = folder / "asked.jsonl"
        self._log.touch()
        self._opened = opened
        self.start()

    def start(self, seconds: float = 0.1) -> None:
        words = [sys.executable, "-m", "tests.chat_server", str(self._port), str(self._log), str(seconds)]
        self.process = subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        self._opened.enter_context(self.process)
        self._opened.callback(self.process.kill)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    @property
    def counts(self) -> Counter[str]:
        return Counter(json.loads(line) for line in self._log.read_text("utf-8").splitlines())

    def wait_for(self, count: int) -> None:
        """Until so many questions have come."""
        end = time.monotonic() + 60
        while self.counts.total() < count:
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    with ExitStack() as opened:
        yield Fake(tmp_path, opened)


def asker(fake: Fake, cache: Path, **settings: Any) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.core.chat.asker", fake.url, str(cache), str(COUNT), json.dumps(settings)]
    return subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answers_of(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    return list(json.loads(out))


@pytest.mark.slow
def test_a_killed_process_leaves_what_was_answered_and_only_the_rest_is_asked(fake: Fake, tmp_path: Path) -> None:
    cache = tmp_path / "answers.sqlite"
    process = asker(fake, cache)
    fake.wait_for(COUNT // 2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = fake.counts
    replies = answers_of(asker(fake, cache))
    assert [reply["text"] for reply in replies] == EXPECTED
    again = [question for question, count in fake.counts.items() if count > 1]
    assert fake.counts.total() == COUNT + len(again) and len(again) <= 3, "at most the three that were under way"
    assert set(again) <= set(before) and sum(reply["cached"] for reply in replies) == before.total() - len(again)
    answers_of(asker(fake, cache))
    assert fake.counts.total() == COUNT + len(again)


@pytest.mark.slow
def test_two_processes_at_once_ask_each_question_once(fake: Fake, tmp_path: Path) -> None:
    both = [asker(fake, tmp_path / "answers.sqlite") for _ in range(2)]
    replies = [answers_of(process) for process in both]
    assert [[reply["text"] for reply in some] for some in replies] == [EXPECTED, EXPECTED]
    assert fake.counts == Counter({f"question {number}": 1 for number in range(COUNT)})
    assert sum(not reply["cached"] for some in replies for reply in some) == COUNT


@pytest.mark.slow
def test_two_processes_at_once_keep_one_budget(fake: Fake, tmp_path: Path, client: Client) -> None:
    """A question takes 15 tokens and may take 10 (question) + 12 (system) + 32 + 20, or one more."""
    cache = tmp_path / "answers.sqlite"
    both = [asker(fake, cache, budget={"tokens": 200}) for _ in range(2)]
    errors = [process.communicate(timeout=90)[1] for process in both]
    assert all(process.returncode == 1 and "budget of 200 tokens" in told for process, told in zip(both, errors))
    assert 200 - 75 < 15 * fake.counts.total() <= 200
    assert set(fake.counts.values()) == {1}


@pytest.mark.slow
def test_an_endpoint_that_is_killed_half_way_is_asked_for_the_rest_when_it_is_back(
    fake: Fake, tmp_path: Path, client: Client
) -> None:
    cache = tmp_path / "answers.sqlite"
    process = asker(fake, cache, retries=0)
    fake.wait_for(COUNT // 2)
    fake.process.kill()
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 1 and f"of {COUNT} questions are answered and kept" in errors.splitlines()[-1]
    before = fake.counts
    fake.start(seconds=0)
    replies = client(fake.url).ask(questions(COUNT))
    assert [reply.text for reply in replies] == EXPECTED
    kept = sum(reply.cached for reply in replies)
    assert kept >= before.total() - 3, "all but what was under way"
    assert fake.counts.total() - before.total() == COUNT - kept
