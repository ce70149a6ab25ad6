"""One request to a chat endpoint, and how it is put again."""

import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from core.chat.address import Line
from core.chat.answers import Answer, read_answer
from core.data.table_values import shown
from core.errors import BadInput, first_line

TRIES = 4
"""How often a question is put where no profile says it: after HTTP 429, 5xx, a time-out or a failed connection."""
FIRST_PAUSE_S = 1.0
"""Pause before the second try; it doubles with each further one."""
_LONGEST_PAUSE_S = 60.0
_CONNECT_S = 10.0
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
T = TypeVar("T")


class TryLater(Exception):
    """A try without an answer: why, how long the server asks to wait, and whether it may have cost something."""

    def __init__(self, reason: str, pause: float | None = None, may_cost: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pause = pause
        self.may_cost = may_cost


class EndpointWrong(BadInput):
    """The endpoint as a whole cannot be used: no question will be answered until a setting is corrected."""


class Rejected(BadInput):
    """The endpoint refuses this request (HTTP 4xx); others may be answered."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Unanswered(BadInput):
    """No answer came in as many tries as there are."""


class Sender:
    """Connections to one endpoint, to be used in a `with` block, by any number of threads."""

    def __init__(
        self, line: Line, tries: int = TRIES, timeout: float = 120.0, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """Connect to nothing yet. `timeout` is in seconds; `pause` waits between the tries of `ask`.

        Raises:
            BadInput: the proxy that the environment names cannot be used.
        """
        self.line = line
        self._tries = tries
        self._pause = pause
        self._other_name = False
        unbounded = httpx.Limits(max_connections=None, max_keepalive_connections=32)
        times = httpx.Timeout(timeout, connect=min(timeout, _CONNECT_S))
        proxied = not line.is_local  # this machine's own address means another machine to a proxy
        try:
            self._client = httpx.Client(timeout=times, limits=unbounded, verify=_certificates(), trust_env=proxied)
        except (ValueError, ImportError) as error:
            fix = "correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY"
            raise BadInput(f"{line.words.who}: its proxy cannot be used ({first_line(error)}); {fix}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def ask(self, text: str) -> Answer:
        """The answer to a text alone, with the endpoint's own settings of length and temperature.

        Raises:
            BadInput: the endpoint refuses the question, or does not answer in the tries that it has.
        """
        body = {"model": self.line.model, "messages": [{"role": "user", "content": text}]}
        return persistently(self.line, lambda: self.once(body), self._tries, self._pause)

    def once(self, body: dict[str, Any]) -> Answer:
        """Send one request.

        Raises:
            TryLater: no answer came, and a later try may bring one.
            EndpointWrong: the endpoint as a whole cannot be used.
            Rejected: it refuses this request.
        """
        headers = {"Authorization": f"Bearer {self.line.key}"} if self.line.key else {}
        if self._other_name and "max_tokens" in body:
            body = {("max_completion_tokens" if name == "max_tokens" else name): it for name, it in body.items()}
        try:
            answer = self._client.post(self.line.completions, json=body, headers=headers)
        except httpx.DecodingError:
            return Answer("malformed", None, "the answer's compression cannot be read")
        except httpx.RequestError as error:
            reason = "no answer in time" if isinstance(error, httpx.TimeoutException) else first_line(error)
            raise TryLater(self.line.without_key(reason), may_cost=not isinstance(error, _UNSENT)) from error
        status = answer.status_code
        if status in (408, 409, 425, 429) or status >= 500:
            if "insufficient_quota" in answer.text:
                raise EndpointWrong(f"{self.line.words.who}: the account's quota is used up (HTTP {status}); top it up")
            raise TryLater(f"HTTP {status}", asked_pause(answer.headers.get("retry-after", "")))
        if status == 400 and "max_tokens" in body and "max_completion_tokens" in answer.text:
            self._other_name = True  # hosted models that think take the longest answer by this name alone
            return self.once(body)
        if not answer.is_success:
            raise self._refusal(answer)
        return read_answer(answer.text)

    def _refusal(self, answer: httpx.Response) -> BadInput:
        words, status = self.line.words, answer.status_code
        told = shown(self.line.without_key(answer.text).strip())
        if status in (401, 403):
            message = f"{words.who}: refuses the key (HTTP {status}); {words.key}"
            return EndpointWrong(message) if status == 401 else Rejected(message, status)
        message = f"{words.who}: HTTP {status}; check {words.url} (it often ends in /v1) and {words.model}: {told}"
        if status == 402:
            return EndpointWrong(f"{words.who}: wants to be paid first (HTTP 402); top up the account: {told}")
        wrong = status in (404, 405) or status < 400
        return EndpointWrong(message) if wrong else Rejected(message, status)


@cache
def _certificates() -> ssl.SSLContext:
    """The certificates that are trusted, read once in a process: that takes longer than most answers."""
    return httpx.create_ssl_context()


def persistently(line: Line, attempt: Callable[[], T], tries: int, pause: Callable[[float], None]) -> T:
    """The first result of `attempt`, which is called again as long as it raises `TryLater` and tries are left.

    Raises:
        Unanswered: none came.
    """
    reason = ""
    for number in range(tries):
        try:
            return attempt()
        except TryLater as later:
            reason = later.reason
            if number + 1 < tries:
                pause(FIRST_PAUSE_S * 2.0**number if later.pause is None else later.pause)
    raise Unanswered(f"{line.words.who}: no answer in {tries} tries ({reason}); is the server up? try later")


def asked_pause(header: str) -> float | None:
    """How long the server asks to wait (seconds, or until a date), at most a minute; null where it does not say."""
    try:
        seconds = float(header) if header.isdecimal() else _until(header)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_PAUSE_S)


def _until(header: str) -> float:
    when = parsedate_to_datetime(header)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
