"""Profiles of endpoints on loopback, and clients of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.chat import sending
from core.chat.endpoint import ChatClient
from core.chat.questions import Question
from core.study.catalogue import ChatProfile

Client = Callable[..., ChatClient]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between tries."""
    monkeypatch.setattr(sending, "FIRST_PAUSE_S", 0.01)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """Makes a client; its answers are kept in one file per test."""

    def make(url: str, called: str = "parrot", key: str | None = None, run: str = "run", **profile: Any) -> ChatClient:
        settings = ChatProfile.model_validate({"url": url, "model": "a/parrot", **profile})
        return ChatClient(settings, key, tmp_path / "answers.sqlite", run, called)

    return make


def questions(count: int, max_tokens: int = 20) -> list[Question]:
    """So many different questions."""
    return [Question("Repeat this.", (f"question {number}",), max_tokens) for number in range(count)]
