"""What one run spends on a profile: reserved before a question is sent, settled after, shared by all processes."""

import itertools
import math
import os
import socket
import sqlite3
import struct
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import NamedTuple, Self

import psutil

from core.chat.answers import Answer
from core.chat.cache import AnswerCache, kept_answers
from core.chat.questions import Picture, Question, Reply
from core.study.catalogue import ChatProfile

_GRACE_S = 30.0
_AROUND = 32
"""Tokens that a chat template puts around a question, at most."""
_PIXELS_PER_TOKEN = 750
_FEWEST_PER_PICTURE = 300
_MILLION = 1_000_000
_ROUNDING = 1e-9
_CLOCK_S = 2.0
_NUMBERS = itertools.count()
_HERE: set[str] = set()
"""Who is asking in this process."""


class Spent(Exception):
    """The budget does not allow the next question: what is used and what the question may take, in `unit`."""

    def __init__(self, unit: str, used: float, wanted: float, budget: float) -> None:
        super().__init__(unit)
        self.unit = unit
        self.used = used
        self.wanted = wanted
        self.budget = budget


@dataclass(frozen=True)
class Bill:
    """Tokens of a question and its answer."""

    prompt: int
    completion: int

    @property
    def tokens(self) -> int:
        """Both together."""
        return self.prompt + self.completion

    def money(self, profile: ChatProfile) -> float:
        """What they cost at the profile's prices."""
        return (self.prompt * profile.price_prompt + self.completion * profile.price_completion) / _MILLION


def most(question: Question) -> Bill:
    """The most that a question may take: a token per byte of its text, and all the tokens that its answer may have.

    No tokenizer that works on bytes makes more tokens of a text. What a picture takes differs between models and is a
    rule of thumb (one token per 750 pixels, 300 at least).
    """
    texts = [question.system, *(part for part in question.parts if isinstance(part, str))]
    text = sum(len(one.encode("utf-8", "surrogatepass")) for one in texts)
    return Bill(text + _AROUND + pictures_tokens(question), question.max_tokens)


def pictures_tokens(question: Question) -> int:
    """About how many tokens the pictures of a question take."""
    sizes = [_pixels(part.png) for part in question.parts if isinstance(part, Picture)]
    return sum(max(_FEWEST_PER_PICTURE, math.ceil(size / _PIXELS_PER_TOKEN)) for size in sizes)


def _pixels(png: bytes) -> int:
    """Width times height, from the head of a PNG file; 0 where it has none."""
    if png[12:16] != b"IHDR" or len(png) < 24:
        return 0
    width, height = struct.unpack(">II", png[16:24])
    return int(width * height)


class Claim(NamedTuple):
    """A question that this process may send: the number of its reservation, its key, and what is reserved."""

    number: int
    key: str
    reserved: Bill


class Spending:
    """What a run spends on a profile.

    A question is sent only if what was spent, what is reserved for the questions under way in all processes, and the
    most that the question may take (`most`) are within the budget together. The budget is therefore kept as long as no
    question takes more than its reservation. Where one does (pictures, of which the reservation is a rule of thumb; an
    endpoint that ignores `max_tokens`), later reservations grow by the largest excess seen. Since the first question of
    a run with a budget goes alone, the budget is then exceeded by no more than that question's excess, if further ones
    take no more beyond their reservation than it did. A try that was sent and brought no answer (a time-out, a broken
    connection, a killed process) counts with its whole reservation, for the endpoint may have charged it.
    """

    def __init__(self, cache: AnswerCache, called: str, profile: ChatProfile, run: str) -> None:
        """Count in the file of answers, under the profile's name and the run; to be used in a `with` block."""
        self._cache = cache
        self._profile = profile
        self._names = (run, called)
        self._owner = f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()} {next(_NUMBERS)}"

    def __enter__(self) -> Self:
        _HERE.add(self._owner)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Reservations that could not be settled, as on a full disk, are no longer waited for."""
        _HERE.discard(self._owner)

    def claim(self, key: str, question: Question) -> Reply | Claim | None:
        """The answer, if it has come meanwhile; else the right to send the question, or null where it is to be waited:
        another process asks the same, or what is under way must be settled first for the budget to be known.

        Raises:
            Spent: the budget does not allow the question.
        """
        bill = most(question)
        with self._cache.transaction() as connection:
            if found := kept_answers(connection, [key]):
                return found[key]
            _count_the_lost(connection)
            if connection.execute("select 1 from under_way where key = ?", [key]).fetchone():
                return None
            tokens, money, counted = self._reservation(connection, bill)
            over = self._over(connection, tokens, money)
            if (over or not counted) and self._limited and self._waits(connection):
                return None
            if over is not None:
                raise over
            until = time.time() + self._profile.timeout + _GRACE_S
            values = [*self._names, key, tokens, money, self._owner, until]
            columns = "run, profile, key, tokens, money, owner, until"
            added = connection.execute(f"insert into under_way ({columns}) values (?, ?, ?, ?, ?, ?, ?)", values)
            return Claim(int(added.lastrowid or 0), key, bill)

    def turn(self, claim: Claim) -> float:
        """Seconds until the question may be sent, by the profile's rate, which all processes keep together."""
        if self._profile.requests_per_minute is None:
            return 0.0
        _, called = self._names
        now = time.time()
        with self._cache.transaction() as connection:
            row = connection.execute("select next_at from paces where profile = ?", [called]).fetchone()
            at = max(now, row[0]) if row else now
            after = at + 60.0 / self._profile.requests_per_minute
            connection.execute("insert or replace into paces values (?, ?)", [called, after])
            until = at + self._profile.timeout + _GRACE_S
            connection.execute("update under_way set until = ? where id = ?", [until, claim.number])
        return at - now

    def settle(self, claim: Claim, answer: Answer) -> Reply:
        """Keep an answer and count what it took; one without counts takes what was reserved."""
        counted = answer.prompt_tokens is not None and answer.completion_tokens is not None
        told = Bill(answer.prompt_tokens or 0, answer.completion_tokens or 0)
        bill = told if counted else claim.reserved
        reply = Reply(answer.text, answer.failure, told.prompt, told.completion)
        reply = replace(reply, money=bill.money(self._profile))
        with self._cache.transaction() as connection:
            self._close(connection, claim, bill)
            values = [claim.key, reply.text, reply.failure, told.prompt, told.completion, reply.money]
            values += [self._profile.model, *self._names, time.time()]
            marks = ", ".join("?" * len(values))
            connection.execute(f"insert or replace into answers values ({marks})", values)
        return reply

    def release(self, claim: Claim) -> None:
        """Count nothing: the try cost nothing."""
        with self._cache.transaction() as connection:
            connection.execute("delete from under_way where id = ?", [claim.number])

    def lose(self, claim: Claim) -> None:
        """Count the whole reservation: the try may have cost something."""
        with self._cache.transaction() as connection:
            _count_as_reserved(connection, "id = ?", claim.number)

    def _reservation(self, connection: sqlite3.Connection, bill: Bill) -> tuple[int, float, bool]:
        """Tokens and money to reserve, and whether a question of the run has been counted yet."""
        columns = "overrun_tokens, overrun_money"
        row = connection.execute(f"select {columns} from spent where run = ? and profile = ?", self._names).fetchone()
        more_tokens, more_money = row or (0, 0.0)
        return bill.tokens + more_tokens, bill.money(self._profile) + more_money, row is not None

    @property
    def _limited(self) -> bool:
        return self._profile.budget.tokens is not None or self._profile.budget.money is not None

    def _over(self, connection: sqlite3.Connection, tokens: int, money: float) -> Spent | None:
        where = "where run = ? and profile = ?"
        used_tokens, used_money = 0, 0.0
        for table in ("spent", "under_way"):
            words = f"select coalesce(sum(tokens), 0), coalesce(sum(money), 0.0) from {table} {where}"
            some_tokens, some_money = connection.execute(words, self._names).fetchone()
            used_tokens, used_money = used_tokens + some_tokens, used_money + some_money
        budget = self._profile.budget
        if budget.tokens is not None and used_tokens + tokens > budget.tokens:
            return Spent("tokens", used_tokens, tokens, budget.tokens)
        if budget.money is not None and used_money + money > budget.money + _ROUNDING:
            return Spent("money", used_money, money, budget.money)
        return None

    def _waits(self, connection: sqlite3.Connection) -> bool:
        """Whether something is under way in this run and profile, which will be settled."""
        found = connection.execute("select 1 from under_way where run = ? and profile = ? limit 1", self._names)
        return found.fetchone() is not None

    def _close(self, connection: sqlite3.Connection, claim: Claim, bill: Bill) -> None:
        """Count a bill in place of its reservation. A reservation that another process took for lost is counted."""
        closed = connection.execute("delete from under_way where id = ?", [claim.number]).rowcount
        if closed:
            _count(connection, self._names, bill.tokens, bill.money(self._profile))
            more_tokens = bill.tokens - claim.reserved.tokens
            more_money = bill.money(self._profile) - claim.reserved.money(self._profile)
            words = "overrun_tokens = max(overrun_tokens, ?), overrun_money = max(overrun_money, ?)"
            values = [more_tokens, more_money, *self._names]
            connection.execute(f"update spent set {words} where run = ? and profile = ?", values)


def _count_the_lost(connection: sqlite3.Connection) -> None:
    """Count the reservations of processes that have ended, whatever run they are of."""
    owners = connection.execute("select owner, max(until) from under_way group by owner").fetchall()
    for owner, until in owners:
        if not _is_alive(owner, until):
            _count_as_reserved(connection, "owner = ?", owner)


def _count_as_reserved(connection: sqlite3.Connection, where: str, value: int | str) -> None:
    rows = connection.execute(f"delete from under_way where {where} returning run, profile, tokens, money", [value])
    for run, called, tokens, money in rows.fetchall():
        _count(connection, (run, called), tokens, money)


def _count(connection: sqlite3.Connection, names: tuple[str, str], tokens: int, money: float) -> None:
    sums = "tokens = tokens + excluded.tokens, money = money + excluded.money, questions = questions + 1"
    insert = "insert into spent values (?, ?, ?, ?, 1, 0, 0.0)"
    connection.execute(f"{insert} on conflict (run, profile) do update set {sums}", [*names, tokens, money])


def _is_alive(owner: str, until: float) -> bool:
    """Whether somebody may still settle a reservation: in this process, while its `with` block lasts; elsewhere, until
    its time is up or its process has ended."""
    host, number, started, _ = owner.rsplit(" ", 3)
    if host != socket.gethostname():
        return time.time() < until
    if int(number) == os.getpid():
        return owner in _HERE
    try:
        same = abs(psutil.Process(int(number)).create_time() - float(started)) < _CLOCK_S
    except psutil.NoSuchProcess:
        return False
    return same and time.time() < until
