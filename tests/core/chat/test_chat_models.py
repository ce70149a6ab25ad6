"""Real models: SmolLM2-135M behind an endpoint and on this machine, and tiny ones."""

import threading
from pathlib import Path

import pytest

from core.chat.budget import most
from core.chat.estimate import estimate
from core.chat.local import LocalChat
from core.chat.questions import Picture, Question, Reply
from core.errors import BadInput
from core.study.catalogue import ChatProfile
from tests.chat_server import real_endpoint
from tests.core.chat.conftest import Client
from tests.core.chat.drawn import png

ASKED = [
    Question("", ("What is the capital of France?",), 12),
    Question("You answer in one word.", ("Which animal barks?", "A cat or a dog?"), 6),
    Question("You are brief.", ("Name a colour. " * 8,), 4),
]


def test_a_real_model_answers_three_profiles_over_http_as_it_does_here(
    smollm2: Path, client: Client, tmp_path: Path
) -> None:
    here = LocalChat(smollm2, "SmolLM2-135M-Instruct").ask(ASKED)
    with real_endpoint(smollm2) as real:
        before = estimate(ASKED, ChatProfile(url=real.url, model="one"), tmp_path / "answers.sqlite")
        there: dict[str, list[Reply]] = {}

        def ask(name: str) -> None:
            there[name] = client(real.url, called=name, model=name).ask(ASKED)

        threads = [threading.Thread(target=ask, args=(name,)) for name in ("one", "two", "three")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client(real.url, called="one", model="one").ask(ASKED)
    assert len(real.questions) == 9
    assert there == dict.fromkeys(("one", "two", "three"), here)
    assert "Paris" in str(here[0].text)
    assert all(reply.prompt_tokens + reply.completion_tokens <= most(one).tokens for one, reply in zip(ASKED, here))
    assert (before.questions, before.cached, before.completion_tokens) == (3, 0, 22)
    prompts = sum(reply.prompt_tokens for reply in here)
    assert prompts / 2 < before.prompt_tokens < prompts * 2


def test_a_local_model_looks_at_pictures_and_answers_alike_in_any_batch(tiny_gemma: Path) -> None:
    chat = LocalChat(tiny_gemma, "tiny")
    asked = [
        Question("", ("look", Picture(png(30, 20))), 5),
        Question("You are brief.", ("look at both of them", Picture(png(9, 9)), Picture(png(30, 20))), 3),
        Question("", ("no picture",), 5),
    ]
    replies = chat.ask(asked)
    assert chat.pictures and [reply.text for reply in replies] == [chat.ask([one])[0].text for one in asked]
    assert all(reply.completion_tokens <= one.max_tokens for one, reply in zip(asked, replies))
    one, two, none = (reply.prompt_tokens for reply in replies)
    assert two > one > none


def test_what_a_local_model_cannot_do_is_told(tiny_text_gemma: Path, tiny_gemma: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no chat template; name a model that follows instructions"):
        LocalChat(tiny_text_gemma, "tiny").ask([Question("", ("?",))])
    with pytest.raises(BadInput, match="is sent a picture, and reads text only"):
        LocalChat(tiny_text_gemma, "tiny").ask([Question("", (Picture(png(2, 2)),))])
    with pytest.raises(BadInput, match=r"config\.json"):
        LocalChat(tmp_path, "none")
    with pytest.raises(ValueError, match="temperature 0"):
        LocalChat(tiny_gemma, "tiny").ask([Question("", ("?",), temperature=1)])


def test_a_prompt_that_is_longer_than_the_window_is_a_failure(tiny_gemma: Path) -> None:
    fine, long = LocalChat(tiny_gemma, "tiny").ask([Question("", ("a",), 2), Question("", ("word " * 200_000,), 2)])
    assert fine.completion_tokens and long.text is None and "the model reads" in long.failure
