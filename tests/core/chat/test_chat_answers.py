"""Answers that cannot be used: a failure where one question is concerned, an error where all are."""

import json
from typing import Any

import pytest

from core.chat.answers import read_answer
from core.errors import BadInput
from tests.chat_server import Scripted, fake_endpoint, question_text
from tests.core.chat.conftest import Client, questions


def chat(content: Any, ended: str = "stop", **message: Any) -> str:
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": ended}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})


FINE = Scripted("yes", usage=(7, 3))
PAGE = "<!DOCTYPE html><html><body>Sign in</body></html>"


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (chat(None, refusal="I cannot say."), "the model refuses: I cannot say."),
        (chat("half", "content_filter"), "the endpoint's content filter stopped the answer"),
        (chat("", "length"), "its tokens were used up before any text came (max_tokens)"),
        (chat(None, "length"), "its tokens were used up before any text came (max_tokens)"),
        (chat("  \n"), "the answer is empty"),
    ],
)
def test_what_the_model_leaves_unsaid_is_a_failure_that_was_paid_for_and_is_kept(
    client: Client, body: str, failure: str
) -> None:
    with fake_endpoint([Scripted(body=body)]) as fake:
        asked = client(fake.url, price_prompt=1e6)
        replies = asked.ask(questions(3)) + asked.ask(questions(3))
    assert len(fake.questions) == 3
    assert {reply.text for reply in replies} == {None} and {reply.prompt_tokens for reply in replies} == {7}
    assert [reply.money for reply in replies] == [7, 7, 7, 0, 0, 0]
    assert {reply.failure for reply in replies} == {failure}


def test_an_answer_that_was_cut_is_an_answer() -> None:
    assert read_answer(chat("half an", "length")).text == "half an"


def test_texts_in_parts_and_halves_of_characters_are_read() -> None:
    assert read_answer(chat([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}])).text == "one two"
    assert read_answer(chat("a \ud800 b")).text == "a ? b"


@pytest.mark.parametrize("usage", [None, [], {"prompt_tokens": 3}, {"prompt_tokens": -1, "completion_tokens": 1}])
def test_counts_that_are_none_are_not_taken_for_0(usage: Any) -> None:
    body = json.dumps(json.loads(chat("yes")) | {"usage": usage})
    assert read_answer(body)[3:] == (None, None)


MALFORMED = ["", "{", "[]", '{"choices": []}', '{"choices": [{}]}', chat(7), chat({"text": "yes"}), "[" * 10_000]


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_answer_is_a_failure_and_is_asked_again_later(client: Client, body: str) -> None:
    def answer(asked: dict[str, Any]) -> Scripted:
        return Scripted(body=body) if question_text(asked) == "question 1" and sent.pop() else FINE

    sent = [False, True]
    with fake_endpoint(answer) as fake:
        replies = client(fake.url).ask(questions(3))
        again = client(fake.url).ask(questions(3))
    assert [reply.text for reply in replies] == ["yes", None, "yes"]
    assert replies[1].failure.startswith("profile parrot (127.0.0.1:") and "profiles.parrot.url" in replies[1].failure
    assert [reply.text for reply in again] == ["yes"] * 3 and fake.counts["question 1"] == 2


@pytest.mark.parametrize(
    ("scripted", "told"),
    [
        (
            Scripted(body=PAGE),
            r"answered with a web page: <!DOCTYPE html>.*; check profiles\.parrot\.url \(it often ends",
        ),
        (Scripted(status=401), r"refuses the key \(HTTP 401\); name the key's variable in profiles\.parrot\.key_from$"),
        (Scripted(status=403), r"refuses the key \(HTTP 403\); name the key's variable in profiles\.parrot\.key_from$"),
        (
            Scripted(status=404, body=PAGE),
            r"HTTP 404; check profiles\.parrot\.url .* and profiles\.parrot\.model: <!DOC",
        ),
        (Scripted(status=301), r"HTTP 301; check profiles\.parrot\.url"),
        (
            Scripted(status=402, body="no credit"),
            r"wants to be paid first \(HTTP 402\); top up the account: no credit$",
        ),
        (Scripted(status=429, body='{"code": "insufficient_quota"}'), r"quota is used up \(HTTP 429\); top it up$"),
    ],
)
def test_an_endpoint_that_is_wrong_as_a_whole_is_told_at_the_first_question(
    client: Client, scripted: Scripted, told: str
) -> None:
    with fake_endpoint([scripted]) as fake, pytest.raises(BadInput, match=told) as error:
        client(fake.url, concurrency=8).ask(questions(20))
    assert len(fake.questions) == 1 and "\n" not in str(error.value)
    assert str(error.value).startswith("profile parrot (127.0.0.1:")


def test_a_key_that_is_refused_is_told_with_its_variable(client: Client) -> None:
    with fake_endpoint([Scripted(status=401)]) as fake, pytest.raises(BadInput, match=r"\(HTTP 401\); set SOME_KEY$"):
        client(fake.url, key="wrong", key_from="SOME_KEY").ask(questions(2))


@pytest.mark.parametrize("scripted", [Scripted(status=400, body="too long"), Scripted(body="{}")])
def test_an_endpoint_that_takes_no_question_at_all_is_told_after_three(client: Client, scripted: Scripted) -> None:
    with fake_endpoint([scripted]) as fake, pytest.raises(BadInput, match=r"check profiles\.parrot\.url"):
        client(fake.url).ask(questions(20))
    assert len(fake.questions) == 3


@pytest.mark.parametrize("scripted", [Scripted(body=PAGE), Scripted(status=403), Scripted(status=400, body="too long")])
def test_what_comes_later_concerns_one_question(client: Client, scripted: Scripted) -> None:
    def answer(asked: dict[str, Any]) -> Scripted:
        return FINE if question_text(asked) in ("question 0", "question 9") else scripted

    with fake_endpoint(answer) as fake:
        replies = client(fake.url).ask(questions(10))
    assert [reply.text for reply in replies] == ["yes", *[None] * 8, "yes"]
    assert all(reply.failure for reply in replies[1:9])
