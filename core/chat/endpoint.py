"""A chat model behind an endpoint, asked many questions: within rate and budget, each of them once."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

from core.chat.address import Line, profile_line
from core.chat.answers import Answer, request_body
from core.chat.budget import Claim, Spending, Spent
from core.chat.cache import AnswerCache, question_key
from core.chat.questions import Asked, Picture, Question, Reply
from core.chat.sending import EndpointWrong, Rejected, Sender, TryLater, Unanswered, persistently
from core.errors import BadInput
from core.progress import Progress, silent
from core.study.catalogue import ChatProfile

_LOOK_S = 0.1
_MOST_BAD = 3
"""Questions without an answer after which a client that never had one asks no more; and questions that got none in all
their tries, one behind the other, after which any client does."""


class ChatClient(Asked):
    """The model of a profile, with the answers kept in an SQLite file and what it costs counted per run there.

    A question whose answer is kept is not sent again, by whichever thread, process or run. The first question of a
    client goes alone: what is wrong with the endpoint as a whole shows there. An answer that cannot be used is a
    `Reply` with `failure`. It is kept where the model gave it (refusals, empty answers), and asked again by the next
    run where it did not (a web page, broken JSON, HTTP 4xx, no answer in all tries).
    """

    def __init__(self, profile: ChatProfile, key: str | None, cache: Path, run: str, called: str) -> None:
        """Check the settings of the profile that is `called` so; nothing is sent yet.

        Raises:
            BadInput: its address cannot be used, or its key is missing.
        """
        self.name = profile.model
        self.pictures = profile.pictures
        self._profile = profile
        self._line = profile_line(called, profile, key)
        self._cache = cache
        self._run = run
        self._called = called
        self._health = Health(self._line)

    def ask(self, questions: Sequence[Question], progress: Progress = silent) -> list[Reply]:
        """The replies, in the order of the questions; `progress` hears of distinct questions.

        Raises:
            BadInput: the endpoint as a whole is wrong or silent, or the budget is spent. What was answered is kept.
            Stopped: `progress` was told to stop; the questions under way are waited for and kept.
        """
        if not self.pictures and any(isinstance(part, Picture) for one in questions for part in one.parts):
            raise BadInput(f"profile {self._called}: is sent a picture, which it does not read (pictures: false)")
        keys = [question_key(self._line, question) for question in questions]
        with AnswerCache.opened(self._cache) as cache:
            replies = cache.find(list(dict.fromkeys(keys)))
            missing = {key: question for key, question in zip(keys, questions) if key not in replies}
            heard = _Heard(replies, len(set(keys)), progress)
            if missing:
                tries, timeout = self._profile.retries + 1, self._profile.timeout
                counted = Spending(cache, self._called, self._profile, self._run)
                with Sender(self._line, tries, timeout) as sender, counted as spending:
                    try:
                        _Round(sender, spending, self._health, tries).run(missing, self._profile.concurrency, heard)
                    except (BadInput, Spent) as error:
                        kept = len(cache.find(list(dict.fromkeys(keys))))
                        raise BadInput(self._told(error, kept, len(set(keys)))) from error
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        again = [replace(replies[key], cached=True, money=0.0) for key in keys]
        return [replies[key] if first[key] == index else again[index] for index, key in enumerate(keys)]

    def _told(self, error: Exception, kept: int, total: int) -> str:
        """An error in one line, and what is kept."""
        stays = f"{kept} of {total} questions are answered and kept"
        if not isinstance(error, Spent):
            return f"{error}; {stays}" if kept else str(error)
        field = f"profiles.{self._called}.budget.{error.unit}"
        used, wanted, budget = (f"{number:.10g}" for number in (error.used, error.wanted, error.budget))
        spent = f"budget of {budget} {error.unit}: {used} used by this run, and the next question may take {wanted}"
        return f"profile {self._called}: {spent}; {stays}; raise {field} and run again"


class Health:
    """Whether an endpoint answers at all, over all the questions of a client."""

    def __init__(self, line: Line) -> None:
        self.answered = False
        self._line = line
        self._bad = 0
        self._lock = threading.Lock()

    def well(self) -> None:
        """A chat answer came."""
        with self._lock:
            self.answered = True
            self._bad = 0

    def badly(self, error: BadInput) -> Reply:
        """A question got no answer that can be kept: its reply.

        Raises:
            BadInput: the endpoint as a whole is wrong or silent.
        """
        with self._lock:
            self._bad += 1
            often = self._bad >= _MOST_BAD
            silence = isinstance(error, Unanswered)
            at_once = silence or isinstance(error, EndpointWrong) or getattr(error, "status", 0) == 403
            if (not self.answered and (at_once or often)) or (silence and often):
                raise error
        return Reply(None, str(error))

    def unreadable(self, answer: Answer) -> Reply:
        """Something came that is no chat answer: its reply.

        Raises:
            BadInput: the endpoint as a whole is wrong.
        """
        words = self._line.words
        told = f"{words.who}: {self._line.without_key(answer.failure)}; check {words.url} (it often ends in /v1)"
        error = EndpointWrong(told) if answer.kind == "html" else BadInput(told)
        return self.badly(error)


class _Heard:
    """The replies so far, and who is told of them."""

    def __init__(self, replies: dict[str, Reply], total: int, progress: Progress) -> None:
        self._replies = replies
        self._cached = float(len(replies))
        self._total = total
        self._progress = progress
        self._money = 0.0

    def __call__(self, key: str, reply: Reply) -> None:
        self._replies[key] = reply
        self._money += reply.money

    def tell(self) -> None:
        """Tell how far it is, with what this round cost and how many answers were there before."""
        self._progress(len(self._replies), self._total, {"money": self._money, "cached": self._cached})


class _Ended(Exception):
    """This round was ended while a question waited; it was not sent."""


class _Round:
    """One call's questions on their way."""

    def __init__(self, sender: Sender, spending: Spending, health: Health, tries: int) -> None:
        self._sender = sender
        self._spending = spending
        self._health = health
        self._tries = tries
        self._end = threading.Event()

    def run(self, missing: Mapping[str, Question], concurrency: int, heard: _Heard) -> None:
        """Ask; each reply is heard of in the calling thread."""
        left = list(missing.items())[::-1]
        under_way: dict[Future[Reply], str] = {}
        with ThreadPoolExecutor(concurrency) as pool:
            try:
                while left or under_way:
                    while left and len(under_way) < (concurrency if self._health.answered else 1):
                        key, question = left.pop()
                        under_way[pool.submit(self._one, key, question)] = key
                    done, _ = wait(under_way, timeout=5 * _LOOK_S, return_when=FIRST_COMPLETED)
                    for future in done:
                        heard(under_way.pop(future), future.result())
                    heard.tell()
            except BaseException:
                self._end.set()
                pool.shutdown(wait=True, cancel_futures=True)  # what is under way is paid for, and kept
                raise

    def _one(self, key: str, question: Question) -> Reply:
        try:
            return persistently(self._sender.line, lambda: self._attempt(key, question), self._tries, self._rest)
        except (Rejected, Unanswered) as error:
            return self._health.badly(error)

    def _attempt(self, key: str, question: Question) -> Reply:
        claim = self._claimed(key, question)
        if isinstance(claim, Reply):
            return claim
        try:
            self._rest(self._spending.turn(claim))
            answer = self._sender.once(request_body(self._sender.line.model, question))
        except TryLater as later:
            (self._spending.lose if later.may_cost else self._spending.release)(claim)
            raise
        except (BadInput, _Ended):
            self._spending.release(claim)
            raise
        except BaseException:
            self._spending.lose(claim)
            raise
        if answer.kind != "answer":
            (self._spending.release if answer.kind == "html" else self._spending.lose)(claim)
            return self._health.unreadable(answer)
        self._health.well()
        return self._spending.settle(claim, answer)

    def _claimed(self, key: str, question: Question) -> Reply | Claim:
        while (claim := self._spending.claim(key, question)) is None:
            self._rest(_LOOK_S)
        return claim

    def _rest(self, seconds: float) -> None:
        """Wait, and no longer than until the round is ended."""
        if self._end.wait(seconds) if seconds > 0 else self._end.is_set():
            raise _Ended
