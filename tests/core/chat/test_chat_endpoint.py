"""A chat client against an endpoint on loopback that counts every question it is sent."""

import base64
import logging
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from core.chat import endpoint
from core.chat.questions import Picture, Question
from core.chat.sending import asked_pause
from core.errors import BadInput
from core.progress import Stopped
from tests.chat_server import Scripted, fake_endpoint, question_text
from tests.core.chat.conftest import Client, questions
from tests.core.chat.drawn import png


def parrot(question: dict[str, Any]) -> Scripted:
    return Scripted(f"{question['model']}: {question_text(question)}", usage=(12, 6), seconds=0.02)


def test_three_profiles_at_once_answer_in_the_order_of_the_questions(client: Client) -> None:
    with fake_endpoint(parrot) as fake:
        clients = [client(fake.url, called=name, model=name, concurrency=4) for name in ("one", "two", "three")]
        replies: dict[str, list[str | None]] = {}

        def ask(chat: endpoint.ChatClient) -> None:
            replies[chat.name] = [reply.text for reply in chat.ask(questions(20))]

        threads = [threading.Thread(target=ask, args=(chat,)) for chat in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert replies == {name: [f"{name}: question {n}" for n in range(20)] for name in ("one", "two", "three")}
    assert set(fake.counts.values()) == {3} and 4 < fake.most_at_once <= 12


def test_as_many_questions_are_under_way_as_the_profile_allows(client: Client) -> None:
    for most in (1, 3):
        together = threading.Barrier(most)

        def wait(question: dict[str, Any], together: threading.Barrier = together) -> Scripted:
            if question_text(question) != "question 0":  # the first goes alone
                together.wait(timeout=30)  # it breaks where fewer than `most` are under way
            return parrot(question)

        with fake_endpoint(wait) as fake:
            client(fake.url, called=f"of {most}", concurrency=most).ask(questions(10))
        assert fake.most_at_once == most


def test_a_question_is_asked_once_whoever_asks_it_again(client: Client) -> None:
    with fake_endpoint(parrot) as fake:
        first = client(fake.url).ask([*questions(3), *questions(3)])
        again = client(fake.url, run="another run", key="k").ask(questions(3))
    assert sorted(fake.counts.values()) == [1, 1, 1]
    assert [reply.text for reply in first] == [f"a/parrot: question {n}" for n in (0, 1, 2)] * 2
    assert [reply.cached for reply in first] == [False] * 3 + [True] * 3
    assert [(r.text, r.prompt_tokens, r.completion_tokens) for r in again] == [(r.text, 12, 6) for r in first[:3]]
    assert all(reply.cached and reply.money == 0 for reply in again)


def test_whatever_decides_an_answer_is_asked_apart(client: Client) -> None:
    asked = Question("s", ("a", "b"), 20, 0.0)
    others = [
        asked,
        Question("t", ("a", "b"), 20, 0.0),
        Question("s", ("ab",), 20, 0.0),
        Question("s", ("a", "b"), 21, 0.0),
        Question("s", ("a", "b"), 20, 0.5),
        Question("s", ("a", Picture(png(4, 4))), 20, 0.0),
        Question("s", ("a", Picture(png(4, 5))), 20, 0.0),
        Question("s", (Picture(png(4, 5)), "a"), 20, 0.0),
    ]
    with fake_endpoint(parrot) as fake, fake_endpoint(parrot) as elsewhere:
        client(fake.url, pictures=True).ask(others)
        client(fake.url, pictures=True, model="another").ask(others)
        client(fake.url.replace("/v1", "/v2"), pictures=True).ask(others)
        client(elsewhere.url, pictures=True).ask(others)
        client(fake.url + "/", pictures=True).ask(others)  # the same endpoint as the first
    assert (len(fake.questions), len(elsewhere.questions)) == (3 * len(others), len(others))


def test_pictures_are_parts_between_texts_and_a_text_model_gets_none(client: Client) -> None:
    picture = png(6, 3)
    question = Question("Look.", ("the image", Picture(picture), "with the map", Picture(picture)))
    with fake_endpoint(parrot) as fake:
        client(fake.url, pictures=True).ask([question])
        with pytest.raises(BadInput, match=r"profile deaf: is sent a picture, which it does not read"):
            client(fake.url, called="deaf").ask([question])
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(picture).decode()}"}}
    texts = [{"type": "text", "text": text} for text in ("the image", "with the map")]
    (body,) = fake.questions
    assert body["messages"] == [
        {"role": "system", "content": "Look."},
        {"role": "user", "content": [texts[0], image, texts[1], image]},
    ]
    assert (body["max_tokens"], body["temperature"], body["path"]) == (300, 0.0, "/v1/chat/completions")


def test_texts_alone_are_sent_as_one_text_which_every_endpoint_takes(client: Client) -> None:
    with fake_endpoint(parrot) as fake:
        client(fake.url).ask([Question("", ("one", "two \ud800"))])
    assert fake.questions[0]["messages"] == [{"role": "user", "content": "one\n\ntwo ?"}]


def test_starts_are_spread_by_the_rate_over_all_clients_of_a_profile(client: Client) -> None:
    with fake_endpoint(parrot) as fake:
        clients = [client(fake.url, requests_per_minute=600, run=run) for run in ("a", "b")]
        some = [questions(5), [Question("other", (f"{n}",)) for n in range(5)]]
        threads = [threading.Thread(target=chat.ask, args=(asked,)) for chat, asked in zip(clients, some)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(fake.at) == 10
    assert fake.at[-1] - fake.at[0] > 0.8  # nine steps of 0.1 s, but for how long the first took to arrive


def test_busy_and_broken_servers_are_asked_again(client: Client) -> None:
    scripted = [
        Scripted(status=429, headers=(("Retry-After", "1"),)),
        Scripted(status=500),
        Scripted("late", seconds=1.5),
        Scripted("at last"),
    ]
    with fake_endpoint(scripted) as fake:
        (reply,) = client(fake.url, timeout=0.5, retries=3).ask(questions(1))
    assert (reply.text, reply.failure, len(fake.questions)) == ("at last", "", 4)
    assert fake.at[1] - fake.at[0] >= 1


def test_a_server_that_stays_silent_is_given_up_with_what_was_kept(client: Client) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = (
        rf"profile parrot \(127\.0\.0\.1:{port}\): no answer in 3 tries \(.*refused.*\); is the server up\? try later$"
    )
    with pytest.raises(BadInput, match=told):
        client(f"http://127.0.0.1:{port}/v1", retries=2).ask(questions(5))
    dies_after = iter(range(4))
    with (
        fake_endpoint(
            lambda asked: parrot(asked) if next(dies_after, None) is not None else Scripted(status=503)
        ) as fake,
        pytest.raises(BadInput, match=r"no answer in 3 tries \(HTTP 503\).*; 4 of 50 questions are answered and kept$"),
    ):
        client(fake.url, retries=2, concurrency=1).ask(questions(50))
    assert len(fake.questions) == 4 + 3 * 3, "three questions in a row without an answer end it"


def test_one_question_that_breaks_the_server_does_not_stop_the_others(client: Client) -> None:
    def answer(asked: dict[str, Any]) -> Scripted:
        return Scripted(status=500) if question_text(asked) == "question 3" else parrot(asked)

    with fake_endpoint(answer) as fake:
        chat = client(fake.url, retries=1, concurrency=1)
        replies = chat.ask(questions(6))
        assert [index for index, reply in enumerate(replies) if reply.text is None] == [3]
        assert "no answer in 2 tries (HTTP 500)" in replies[3].failure
        chat.ask(questions(6))
    assert fake.counts["question 3"] == 4 and sum(fake.counts.values()) == 5 + 4, "it alone is asked again"


def test_a_stop_keeps_what_is_under_way(client: Client) -> None:
    def progress(done: int, total: int, metrics: dict[str, float] | None = None) -> None:
        if done >= 3:
            raise Stopped

    with fake_endpoint(parrot) as fake:
        with pytest.raises(Stopped):
            client(fake.url, concurrency=2).ask(questions(40), progress)
        asked = len(fake.questions)
        replies = client(fake.url, concurrency=2).ask(questions(40))
    assert 3 <= asked < 10 and set(fake.counts.values()) == {1}
    assert sum(reply.cached for reply in replies) == asked


def test_progress_ends_at_all_and_tells_the_money(client: Client) -> None:
    heard: list[tuple[int, int, float]] = []

    def progress(done: int, total: int, metrics: dict[str, float] | None = None) -> None:
        heard.append((done, total, (metrics or {})["money"]))

    with fake_endpoint(parrot) as fake:
        client(fake.url, price_prompt=1e6, price_completion=2e6).ask(questions(4), progress)
    assert heard[-1] == (4, 4, 4 * (12 + 2 * 6))


def test_hosted_models_that_name_the_longest_answer_otherwise_are_understood(client: Client) -> None:
    def answer(asked: dict[str, Any]) -> Scripted:
        if "max_tokens" in asked:
            return Scripted(
                status=400, body="Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            )
        return Scripted(str(asked["max_completion_tokens"]))

    with fake_endpoint(answer) as fake:
        assert [reply.text for reply in client(fake.url).ask(questions(3))] == ["20"] * 3
    assert len(fake.questions) == 4, "it is told once"


SECRET = "sk-of-the-tests"


@pytest.mark.parametrize(
    "scripted",
    [
        Scripted(status=401, body=f"wrong key {SECRET}"),
        Scripted(status=400, body=f"wrong key {SECRET}"),
        Scripted(status=404, body=f"no model for {SECRET}"),
        Scripted(body=f"<html>{SECRET}</html>"),
        Scripted(body=f"no JSON {SECRET}"),
        Scripted(status=503, body=SECRET),
    ],
)
def test_the_key_stands_in_no_message_log_or_file(
    client: Client, scripted: Scripted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with fake_endpoint([scripted]) as fake:
        chat = client(fake.url, key=SECRET, key_from="SOME_KEY", retries=0)
        told = []
        try:
            told += [reply.failure for reply in chat.ask(questions(2))]
        except BadInput as error:
            told += [str(error), repr(error.__cause__), repr(error.__context__)]
    assert fake.headers[0]["authorization"] == f"Bearer {SECRET}"
    assert told and SECRET not in " ".join(told) + repr(vars(chat))
    assert SECRET not in caplog.text
    assert all(SECRET.encode() not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("profile", "key", "told"),
    [
        ({"url": "models.example/v1"}, None, r"profiles\.parrot\.url: write http://host:port/v1"),
        ({"url": "https://u:pw@models.example/v1"}, None, r"holds a user, password or query"),
        ({"url": "https://models.example/v1?key=pw"}, None, r"holds a user, password or query"),
        ({"url": "http://h/v1", "key_from": "SOME_KEY"}, None, r"the environment variable SOME_KEY is not set; set it"),
        ({"url": "http://h/v1", "key_from": "SOME_KEY"}, "", r"the environment variable SOME_KEY is not set; set it"),
        ({"url": "http://h/v1", "key_from": "SOME_KEY"}, "k\n", r"the key holds characters.*; set SOME_KEY"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_before_anything_is_sent(
    client: Client, profile: dict[str, Any], key: str | None, told: str
) -> None:
    with pytest.raises(BadInput, match=told) as error:
        client(key=key, **profile)
    assert "pw" not in str(error.value)


def test_the_time_that_asking_takes_is_that_of_the_endpoint(client: Client) -> None:
    with fake_endpoint(lambda asked: Scripted("yes", seconds=0.1)) as fake:
        began = time.monotonic()
        client(fake.url, concurrency=10).ask(questions(51))
    assert time.monotonic() - began < 3, "51 questions of 0.1 s, the first alone and then ten at once: 0.6 s"


def test_endpoints_of_this_machine_are_asked_past_the_proxy(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "ftp://127.0.0.1:9")
    with fake_endpoint(parrot) as fake:
        assert client(fake.url).ask(questions(1))[0].text == "a/parrot: question 0"
    with pytest.raises(
        BadInput, match=r"profile parrot \(models\.example\): its proxy cannot be used .*; correct HTTP_"
    ):
        client("http://models.example/v1").ask(questions(1))


@pytest.mark.parametrize(("header", "pause"), [("3", 3), ("9999", 60), ("-1", None), ("", None), ("soon", None)])
def test_what_retry_after_asks_for_is_waited_up_to_a_minute(header: str, pause: float | None) -> None:
    assert asked_pause(header) == pause


def test_retry_after_may_be_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    assert 17 < (asked_pause(soon) or 0) <= 20
    assert asked_pause("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert asked_pause("Wed, 99 Oct 2015") is None
