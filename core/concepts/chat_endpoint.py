"""A chat model behind an OpenAI-compatible endpoint: one question, one answer."""

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx

from core.data.table_values import shown
from core.errors import BadInput, first_line

TRIES = 4
"""How often a question is put: after HTTP 429, 5xx, or a failed connection it is put again."""
_TIMEOUT = httpx.Timeout(120, connect=10)
_LONGEST_PAUSE_S = 60.0


class MalformedAnswer(ValueError):
    """The endpoint's answer holds no text where an OpenAI-compatible one has it."""


class ChatEndpoint:
    """`url` up to and including `/v1`; `key` is sent as a bearer token and never shown. `pause` waits between tries."""

    def __init__(
        self, url: str, model: str, key: str | None = None, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """Check the address and the key; nothing is sent yet.

        Raises:
            BadInput: one of them cannot be used.
        """
        self.host = _host(url)
        self.model = model
        self._url = url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        self._key = key
        self._pause = pause
        if key is not None and not (key.isascii() and key.isprintable()):
            raise BadInput("the endpoint's key holds characters that no header can; set it again")

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine."""
        return urlsplit(self._url).hostname in ("localhost", "127.0.0.1", "::1")

    def ask(self, question: str) -> str:
        """The model's answer.

        Raises:
            BadInput: the endpoint refuses the question, or does not answer in `TRIES` tries.
            MalformedAnswer: its answer has another form than expected.
        """
        body = {"model": self.model, "messages": [{"role": "user", "content": question}]}
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        reason = ""
        for attempt in range(TRIES):
            wait = 2.0**attempt
            try:
                answer = httpx.post(self._url, json=body, headers=headers, timeout=_TIMEOUT)
            except httpx.RequestError as error:
                reason = first_line(error)
            else:
                if answer.status_code != 429 and answer.status_code < 500:
                    return self._text(answer)
                reason = f"HTTP {answer.status_code}"
                wait = _asked_pause(answer, wait)
            if attempt + 1 < TRIES:
                self._pause(wait)
        raise BadInput(f"endpoint {self.host}: no answer in {TRIES} tries ({reason}); is the server up? try later")

    def _text(self, answer: httpx.Response) -> str:
        if answer.status_code in (401, 403):
            refusal = f"refuses the key (HTTP {answer.status_code})"
            raise BadInput(f"endpoint {self.host}: {refusal}; set SAEFLOW_ENDPOINT_KEY")
        if not answer.is_success:
            told = answer.text.replace(self._key, "…") if self._key else answer.text
            fix = "check --endpoint (it often ends in /v1) and --model"
            raise BadInput(f"endpoint {self.host}: HTTP {answer.status_code}; {fix}: {shown(told)}")
        try:
            text = answer.json()["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise MalformedAnswer("no choices[0].message.content") from error
        if not isinstance(text, str):
            raise MalformedAnswer("choices[0].message.content is no text")
        return text


def _host(url: str) -> str:
    """The host and port that an address names, without user, password and path."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise BadInput("the endpoint's address: write http://host:port/v1 or https://host/v1")
    return f"{host}:{port}" if port else host


def _asked_pause(answer: httpx.Response, own: float) -> float:
    """How long the server asks to wait, at most a minute; else our own pause."""
    asked = answer.headers.get("retry-after", "")
    return min(float(asked), _LONGEST_PAUSE_S) if asked.isdecimal() else own
