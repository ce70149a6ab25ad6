"""`saeflow concept draft`, against a fake endpoint that is a real HTTP server."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

import polars as pl
import pytest

from cli.concept_draft import drafting_line
from cli.drafting import Session
from core.chat.sending import TRIES, Sender
from core.concepts.sentence_file import SentenceFile
from core.errors import BadInput
from core.planning.concept_file import CONCEPT_FILES
from core.study.scan import ConceptConfig
from tests.chat_server import ChatServer, Scripted, fake_endpoint
from tests.flows.commands import PROJECT, environment, saeflow_here

CONCEPT = ConceptConfig(name="calm", description="Calm is calm.", sentences="calm.csv")
GATE = ("gate", ["He waits by the gate.", "She strolls home at dusk.", "A storm of calls came in.", "Ten eggs broke."])
RIVER = (
    "river",
    ["The nurse breathes slowly.", "Rain fell on the tin roof.", "Calm is a card game.", "We sold a boat."],
)


def scenes(*named: tuple[str, Sequence[str]]) -> str:
    """An answer as the prompt asks for it: scenes with sentences of labels 3, 2, 1 and 0."""
    return json.dumps([{"scene": name, **dict(zip("3210", texts))} for name, texts in named], ensure_ascii=False)


class Sitting(Protocol):
    """A sitting in which the person types these lines, and then the input ends."""

    def __call__(
        self, path: Path, fake: ChatServer, typed: Sequence[str], pauses: list[float] | None = None
    ) -> Session: ...


@pytest.fixture
def sitting() -> Iterator[Sitting]:
    with ExitStack() as opened:

        def sit(path: Path, fake: ChatServer, typed: Sequence[str], pauses: list[float] | None = None) -> Session:
            lines = iter(typed)

            def ask(question: str) -> str:
                try:
                    return next(lines)
                except StopIteration as end:
                    raise EOFError from end

            waits = pauses if pauses is not None else []
            chat = opened.enter_context(Sender(drafting_line(fake.url, "parrot", None), pause=waits.append))
            return Session(CONCEPT, SentenceFile.open(path), chat, ask)

        yield sit


def test_what_a_person_accepts_is_kept_with_its_source_and_nothing_else(sitting: Sitting, tmp_path: Path) -> None:
    path = tmp_path / "calm.csv"
    with fake_endpoint([Scripted(scenes(GATE))]) as fake:
        session = sitting(path, fake, ["y", "what?", "no", "e", "A storm of letters came in.", "9", "2", "e", "", ""])
        session.run(1)
    table = pl.read_csv(path)
    assert table.columns == ["sentence", "concept_strength_label", "source", "family"]
    assert table["sentence"].to_list() == [GATE[1][0], "A storm of letters came in.", GATE[1][3]]
    assert table["concept_strength_label"].to_list() == [3, 2, 0]
    assert set(table["family"]) == {"gate"}
    when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    host = fake.url.removeprefix("http://").removesuffix("/v1")
    hows = table["source"].str.extract(rf"^drafted by parrot at {host}, prompt 1, {when}; (\w+) by a person$")
    assert hows.to_list() == ["accepted", "edited", "accepted"]
    assert session.tally.words == "accepted 3, refused 1, near-duplicates removed 0, malformed parts skipped 0"
    assert fake.questions[0]["path"] == "/v1/chat/completions" and fake.questions[0]["model"] == "parrot"


def test_near_duplicates_of_what_is_there_or_was_refused_are_not_shown(sitting: Sitting, tmp_path: Path) -> None:
    path = tmp_path / "calm.csv"
    path.write_text("sentence,concept_strength_label,source,family\nHE WAITS BY THE GATE!,3,me,gate\n", "utf-8")
    same = ("river", [RIVER[1][0], RIVER[1][1], "Calm is a card game!", RIVER[1][1]])
    with fake_endpoint([Scripted(scenes(GATE, RIVER)), Scripted(scenes(same))]) as fake:
        session = sitting(path, fake, ["n"] * 7)
        session.run(12)
    assert session.tally.refused == 7
    assert session.tally.near_duplicates == 1 + 3 * 4  # the same answer thrice, and then no more is asked
    assert len(fake.questions) == 4
    assert "Other scenes than these: gate" in fake.questions[0]["messages"][0]["content"]


def test_an_edit_that_repeats_a_sentence_is_asked_for_again(sitting: Sitting, tmp_path: Path) -> None:
    path = tmp_path / "calm.csv"
    with fake_endpoint([Scripted(scenes(GATE))]) as fake:
        session = sitting(path, fake, ["y", "e", "He waits by the gate.", "\x07", "He hums.", "", "q"])
        session.run(1)
    assert SentenceFile.open(path).texts == [GATE[1][0], "He hums."]


def test_accepted_sentences_are_there_when_the_sitting_goes_on(sitting: Sitting, tmp_path: Path) -> None:
    path = tmp_path / "calm.csv"
    with fake_endpoint([Scripted(scenes(GATE))]) as fake:
        sitting(path, fake, ["y", "q"]).run(1)
        assert SentenceFile.open(path).texts == [GATE[1][0]]
        again = sitting(path, fake, ["y", "y"])  # and then the input ends
        again.run(1)
    table = pl.read_csv(path)
    assert table["sentence"].to_list() == GATE[1][:3]
    assert table["family"].to_list() == ["gate", "gate-2", "gate-2"]
    assert again.tally.near_duplicates == 1


def test_busy_and_broken_servers_are_asked_again_with_growing_pauses(sitting: Sitting, tmp_path: Path) -> None:
    pauses: list[float] = []
    replies = [
        Scripted(status=429, headers=(("Retry-After", "7"),)),
        Scripted(status=503),
        Scripted(status=429, headers=(("Retry-After", "soon"),)),
        Scripted(scenes(GATE)),
    ]
    with fake_endpoint(replies) as fake:
        session = sitting(tmp_path / "calm.csv", fake, ["y"] * 4, pauses)
        session.run(1)
    assert pauses == [7, 2, 4] and session.tally.accepted == 4


def test_a_server_that_stays_busy_is_given_up_in_one_line(sitting: Sitting, tmp_path: Path) -> None:
    pauses: list[float] = []
    with (
        fake_endpoint([Scripted(status=500)]) as fake,
        pytest.raises(BadInput, match=rf"no answer in {TRIES} tries \(HTTP 500\)"),
    ):
        sitting(tmp_path / "calm.csv", fake, [], pauses).run(1)
    assert len(fake.questions) == TRIES and pauses == [1, 2, 4]


def test_malformed_answers_are_counted_and_skipped(sitting: Sitting, tmp_path: Path) -> None:
    replies = [
        Scripted(body="<html>"),
        Scripted(body='{"choices": []}'),
        Scripted(scenes(GATE)[:-9]),
        Scripted(body='{"choices": [{"message": {"content": null}}]}'),
        Scripted(scenes(("gate", GATE[1][:2]))),
    ]
    with fake_endpoint(replies[:2] + replies[4:]) as fake:
        session = sitting(tmp_path / "calm.csv", fake, ["y", "y"])
        session.run(1)
    assert (session.tally.malformed, session.tally.accepted) == (2 + 2, 2)
    with fake_endpoint(replies[:4]) as fake:
        session = sitting(tmp_path / "none.csv", fake, [])
        session.run(1)
    assert session.tally.malformed == 3 and not (tmp_path / "none.csv").exists()


def test_a_key_is_sent_and_never_shown() -> None:
    key = "sk-loopback-only"
    scripted = [Scripted("fine"), Scripted(status=400, body=f"bad {key}"), Scripted(status=401, body=key)]
    with fake_endpoint(scripted) as fake:
        with Sender(drafting_line(fake.url + "/chat/completions", "parrot", key)) as chat:
            assert chat.ask("?").text == "fine" and fake.headers[0]["authorization"] == f"Bearer {key}"
            with pytest.raises(BadInput, match=r"HTTP 400; check --endpoint .* and --model: bad …$"):
                chat.ask("?")
            with pytest.raises(BadInput, match=r"refuses the key \(HTTP 401\); set SAEFLOW_ENDPOINT_KEY$"):
                chat.ask("?")
        with Sender(drafting_line(fake.url, "parrot", None)) as chat, pytest.raises(BadInput):
            chat.ask("?")
        assert "authorization" not in fake.headers[-1]


@pytest.mark.parametrize(
    "url", ["models.example/v1", "ftp://models.example", "http://", "http://h:port/v1", "http://[::1/v1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="the endpoint's address: write http://host:port/v1"):
        drafting_line(url, "parrot", None)


def concept_file(folder: Path) -> Path:
    """A concept of its own, without sentences yet."""
    path = folder / "calm.yaml"
    path.write_text("name: calm\ndescription: Calm is calm.\nsentences: calm.csv\n", "utf-8")
    assert CONCEPT_FILES.load(path).model_dump(include=set(ConceptConfig.model_fields)) == CONCEPT.model_dump()
    return path


def test_without_a_person_nothing_is_drafted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = concept_file(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    with fake_endpoint([Scripted(scenes(GATE))]) as fake:
        told = saeflow_here(tmp_path, "concept", "draft", str(path), "--endpoint", fake.url, "--model", "parrot")
        refused = saeflow_here(tmp_path, "concept", "draft", str(path), "--endpoint", fake.url, "--model", "m", "--yes")
    assert told.returncode == 1 and "a person accepts each sentence; run it in a terminal" in told.stderr
    assert refused.returncode == 2 and fake.questions == []
    unknown = saeflow_here(tmp_path, "concept", "draft", "agression", "--endpoint", "http://h/v1", "--model", "m")
    assert unknown.returncode == 1 and "did you mean aggression" in unknown.stderr


class Terminal:
    """The real command on a terminal of its own."""

    def __init__(self, workspace: Path, *words: str) -> None:
        self._screen, inner = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", *words],
            cwd=PROJECT,
            env=environment(workspace),
            stdin=inner,
            stdout=inner,
            stderr=inner,
        )
        os.close(inner)
        self.shown = ""

    def wait_for(self, text: str) -> None:
        """Read until the screen shows this once more."""
        wanted = self.shown.count(text) + 1
        while self.shown.count(text) < wanted:
            self.shown += os.read(self._screen, 4096).decode(errors="replace")

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._screen, text.encode() + b"\n")

    def interrupt(self) -> None:
        """Ctrl-C, again where it came just before the command began to wait for a line, and not while it is ending."""
        for _ in range(4):
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
                return

    def end(self) -> int:
        """The exit status, once everything is read."""
        try:
            while part := os.read(self._screen, 4096):
                self.shown += part.decode(errors="replace")
        except OSError:  # the other end is closed
            pass
        os.close(self._screen)
        return self.process.wait(60)


@pytest.mark.slow
def test_ctrl_c_half_way_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    path = concept_file(tmp_path)
    with fake_endpoint([Scripted(status=429, headers=(("Retry-After", "0"),)), Scripted(scenes(GATE, RIVER))]) as fake:
        words = ("concept", "draft", str(path), "--endpoint", fake.url, "--model", "parrot", "--scenes", "2")
        terminal = Terminal(tmp_path, *words)
        for _ in range(5):
            terminal.wait_for("q(uit): ")
            terminal.type("y")
        terminal.wait_for("q(uit): ")
        terminal.interrupt()
        assert terminal.end() == 130
    assert pl.read_csv(tmp_path / "calm.csv")["sentence"].to_list() == [*GATE[1], RIVER[1][0]]
    assert "Traceback" not in terminal.shown and "accepted 5, refused 0" in terminal.shown
