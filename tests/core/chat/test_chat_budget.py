"""A run's budget for a profile, in tokens and in money."""

import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.chat.answers import Answer
from core.chat.budget import Bill, Claim, Spending, most
from core.chat.cache import AnswerCache
from core.chat.questions import Picture, Question, Reply
from core.errors import BadInput
from core.study.catalogue import Budget, ChatProfile
from tests.chat_server import Scripted, fake_endpoint
from tests.core.chat.conftest import Client, questions
from tests.core.chat.drawn import png

ONE = 12 + 10 + 32 + 20
"""The most that one of `questions` may take: a token per byte, the template's, and the answer's."""


def takes(prompt: int, completion: int) -> Any:
    return lambda _asked: Scripted("yes", usage=(prompt, completion), seconds=0.01)


def spent(cache: Path) -> dict[tuple[str, str], tuple[int, float, int]]:
    with closing(sqlite3.connect(cache)) as opened:
        rows = opened.execute("select run, profile, tokens, money, questions from spent").fetchall()
    return {(run, profile): (tokens, money, count) for run, profile, tokens, money, count in rows}


def test_what_a_question_may_take_is_never_less_than_its_bytes() -> None:
    assert most(Question("é", ("ab",), 7)) == Bill(4 + 32, 7)
    assert most(questions(1)[0]).tokens == ONE
    assert most(Question("", (Picture(png(30, 25)),), 7)) == Bill(32 + 300, 7)
    assert most(Question("", (Picture(png(1500, 1000)), Picture(b"no PNG")), 7)) == Bill(32 + 2000 + 300, 7)
    assert Bill(2_000_000, 500_000).money(ChatProfile(url="u", model="m", price_prompt=3, price_completion=8)) == 10


@pytest.mark.parametrize("concurrency", [1, 8])
def test_tokens_are_spent_up_to_the_last_question_that_surely_fits(
    client: Client, concurrency: int, tmp_path: Path
) -> None:
    with fake_endpoint(takes(30, 10)) as fake:
        chat = client(fake.url, budget={"tokens": 400}, concurrency=concurrency)
        told = r"^profile parrot: budget of 400 tokens: 360 used by this run, and the next question may take 7[45]; "
        told += r"9 of 50 questions are answered and kept; raise profiles\.parrot\.budget\.tokens and run again$"
        with pytest.raises(BadInput, match=told):
            chat.ask(questions(50))
        assert len(fake.questions) == 9, "9 took 360 of 400; a tenth might have taken 74"
        with pytest.raises(BadInput, match="9 of 50"):
            chat.ask(questions(50))
        answered = [question for question in questions(50) if question.parts[0] in fake.counts]
        assert len(chat.ask(answered)) == 9 and len(fake.questions) == 9, "what is kept costs nothing"
        left = [question for question in questions(50) if question not in answered]
        client(fake.url, run="another", budget={"tokens": 400}).ask([*answered, *left[:3]])
        client(fake.url, called="other", budget={"tokens": 400}).ask(left[:5])
        client(fake.url, budget={"tokens": 1000}).ask(left[:9])
        assert len(fake.questions) == 9 + 9
    totals = {names: tokens for names, (tokens, _, _) in spent(tmp_path / "answers.sqlite").items()}
    assert totals == {("run", "parrot"): 40 * 13, ("another", "parrot"): 40 * 3, ("run", "other"): 40 * 2}


def test_money_is_spent_up_to_the_last_question_that_surely_fits(client: Client) -> None:
    """A question costs 30 * 2 + 10 * 10 millionths, and may cost 54 * 2 + 20 * 10 = 308."""
    prices = {"price_prompt": 2, "price_completion": 10}
    with fake_endpoint(takes(30, 10)) as fake:
        chat = client(fake.url, budget={"money": 0.001}, **prices)
        with pytest.raises(BadInput, match=r"budget of 0\.001 money: 0\.0008 used .* may take 0\.000308; 5 of 20"):
            chat.ask(questions(20))
        assert len(fake.questions) == 5
        more = client(fake.url, budget={"money": 0.01}, **prices).ask(questions(20))
    assert sorted(reply.money for reply in more) == [*[0] * 5, *[pytest.approx(0.00016)] * 15]


@pytest.mark.parametrize(("field", "unit"), [("tokens", "tokens"), ("money", "money")])
def test_a_budget_of_0_asks_nothing_and_says_so(client: Client, field: str, unit: str) -> None:
    with fake_endpoint(takes(1, 1)) as fake:
        chat = client(fake.url, budget={field: 0}, price_prompt=1)
        with pytest.raises(
            BadInput, match=rf"budget of 0 {unit}: 0 used by this run.*0 of 3 .*\.budget\.{field} and run"
        ):
            chat.ask(questions(3))
        assert chat.ask([]) == [] and fake.questions == []


def test_money_without_prices_would_never_be_spent_and_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"budget\.money counts nothing without price_prompt"):
        ChatProfile(url="http://h/v1", model="m", budget=Budget(money=1))


def test_an_endpoint_that_takes_more_than_reserved_goes_over_by_one_question(client: Client, tmp_path: Path) -> None:
    """It charges 500 tokens for a question of which 74 were reserved; the reservations after it are 500."""
    with fake_endpoint(takes(400, 100)) as fake:
        with pytest.raises(BadInput, match=r" 500 used by this run, and the next question may take 50[01]; 1 of 30"):
            client(fake.url, budget={"tokens": 499}, concurrency=8).ask(questions(30))
        with pytest.raises(BadInput, match=r" 2500 used by this run, and the next question may take 50[01]; 5 of 30"):
            client(fake.url, budget={"tokens": 2999}, concurrency=8).ask(questions(30))
    assert spent(tmp_path / "answers.sqlite")["run", "parrot"][0] == 2500


def test_until_the_first_question_of_a_run_is_counted_no_other_is_sent(tmp_path: Path) -> None:
    cache = tmp_path / "answers.sqlite"
    limited = ChatProfile(url="http://h/v1", model="m", budget=Budget(tokens=10_000))
    free = limited.model_copy(update={"budget": Budget()})
    one, two, three = questions(3)
    with AnswerCache.opened(cache) as opened, Spending(opened, "parrot", limited, "run") as spending:
        first = spending.claim("one", one)
        assert isinstance(first, Claim) and spending.claim("two", two) is None
        with Spending(opened, "other", free, "run") as other:
            assert other.claim("3", three) and other.claim("4", three), "a profile without a budget does not wait"
        spending.settle(first, Answer("answer", "yes", "", 5, 5))
        assert spending.claim("two", two) and spending.claim("three", three)
        kept = spending.claim("one", one)
    assert isinstance(kept, Reply) and (kept.text, kept.cached) == ("yes", True)


def test_an_answer_without_counts_takes_what_was_reserved(client: Client, tmp_path: Path) -> None:
    with fake_endpoint([Scripted("yes")]) as fake:
        (reply,) = client(fake.url, price_prompt=1e6).ask(questions(1))
    assert (reply.prompt_tokens, reply.completion_tokens, reply.money) == (0, 0, ONE - 20)
    assert spent(tmp_path / "answers.sqlite") == {("run", "parrot"): (ONE, ONE - 20, 1)}


def test_a_try_that_may_have_been_charged_counts_and_one_that_was_refused_does_not(
    client: Client, tmp_path: Path
) -> None:
    scripted = [
        Scripted("late", seconds=0.5),
        Scripted(status=500),
        Scripted(status=429),
        Scripted("yes", usage=(5, 5)),
    ]
    with fake_endpoint(scripted) as fake:
        client(fake.url, timeout=0.3).ask(questions(1))
    assert spent(tmp_path / "answers.sqlite") == {("run", "parrot"): (ONE + 10, 0, 2)}


def _claims_and_ends(cache: Path) -> None:
    profile = ChatProfile(url="http://h/v1", model="m")
    with AnswerCache.opened(cache) as opened, Spending(opened, "parrot", profile, "run") as spending:
        spending.claim("a key", questions(1)[0])


def test_what_an_ended_process_had_reserved_counts_as_spent(tmp_path: Path) -> None:
    cache = tmp_path / "answers.sqlite"
    process = multiprocessing.get_context("spawn").Process(target=_claims_and_ends, args=(cache,))
    process.start()
    process.join()
    profile = ChatProfile(url="http://h/v1", model="m", budget=Budget(tokens=2 * ONE))
    with AnswerCache.opened(cache) as opened, Spending(opened, "parrot", profile, "run") as spending:
        claimed = spending.claim("a key", questions(1)[0])
        assert claimed is not None, "nobody else asks it any more"
        assert spending.claim("a key", questions(1)[0]) is None, "this process does"
    assert spent(cache) == {("run", "parrot"): (ONE, 0, 1)}


def test_a_reservation_of_another_machine_holds_until_its_time_is_up(tmp_path: Path) -> None:
    profile = ChatProfile(url="http://h/v1", model="m")
    cache = tmp_path / "answers.sqlite"
    with AnswerCache.opened(cache) as opened, Spending(opened, "parrot", profile, "run") as spending:
        spending.claim("a key", questions(1)[0])
        with opened.transaction() as connection:
            connection.execute("update under_way set owner = 'elsewhere 1 1.0 0'")
        assert spending.claim("a key", questions(1)[0]) is None
        with opened.transaction() as connection:
            connection.execute("update under_way set until = 1.0")
        assert spending.claim("a key", questions(1)[0]) is not None
