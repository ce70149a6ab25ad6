"""A running explorer, asked by `saeflow feature --server`."""

from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import orjson

from cli.asked import Labelled
from cli.explore import PORT
from cli.terminal import errors
from core.errors import BadInput, first_line
from explorer.asking.answer import Answer
from explorer.asking.explained import answer_of
from explorer.asking.labelling import labels_file, labels_text, this_user
from explorer.asking.questions import LabelShown, Question
from explorer.asking.sent import SentAnswer
from explorer.labels.files import author_name, label_text
from explorer.reading.explained import MOST_HITS
from explorer.reading.refusals import NO_TOKEN
from explorer.server.access import MOST_POSTED
from explorer.server.schema import ExplanationSearch

_GREETING_S = 10.0
_STARTS_ONE = "start one with `saeflow explore`"


class Explorer:
    """An explorer that runs; by default its default study and layer."""

    def __init__(self, address: str, token: str | None, study: str | None, layer: int | None = None) -> None:
        self._url, self._named = _url(address), {"study": study, "layer": layer}
        if not (token or "").isprintable():
            raise BadInput("--token: holds a character that no header can; copy it again")
        self._token = token
        self._headers = {b"Content-Type": b"application/json"}
        if token:
            self._headers[b"Authorization"] = f"Bearer {token}".encode()
        self._version = self._greeted()

    def ask(self, question: Question) -> Answer:
        """See `cli.asked.Asked`."""
        return self._asked(question)[0]

    def explained(self, text: str, top_k: int) -> Answer:
        """See `cli.asked.Asked`."""
        query = {**self._query(), "q": text, "limit": min(top_k, MOST_HITS)}
        answer = self._send("GET", "/search/explanations", params=query)
        try:
            told = ExplanationSearch.model_validate(answer)
        except ValueError as error:
            raise self._other(f"its answer is not understood ({first_line(error)})") from error
        return answer_of(text, [one.model_dump() for one in told.catalogues], told.notes)

    def label(self, feature: int, text: str, author: str | None) -> Labelled:
        """See `cli.asked.Asked`."""
        answer, found = self._asked(LabelShown(feature=feature))
        place = f"/studies/{quote(found['study'], safe='')}/layers/{found['layer']}/features/{feature}/label"
        name = author_name(author or this_user(), "--author")
        if text:
            new = {"text": label_text(text, "the label"), "author": name}
            label = self._send("PUT", place, content=orjson.dumps(new))
        else:
            label = self._send("DELETE", place, params={"author": name})
        return Labelled(answer.title, label["label"])

    def exported(self) -> str:
        """See `cli.asked.Asked`."""
        return labels_text(self._send("GET", "/labels", params=self._query()))

    def imported(self, file: Path) -> tuple[int, int]:
        """See `cli.asked.Asked`."""
        found = self._send("POST", "/labels", content=labels_file(file))
        return int(found["read"]), int(found["added"])

    def _asked(self, question: Question) -> tuple[Answer, dict[str, Any]]:
        try:
            content = question.model_dump_json().encode()
        except ValueError as error:
            raise BadInput(f"what is asked holds a character that cannot be sent ({first_line(error)})") from error
        with errors.status("the explorer answers"):
            found = self._send("POST", "/ask", params=self._query(), content=content)
        try:
            return SentAnswer.model_validate(found).answer(), found
        except ValueError as error:
            raise self._other(f"its answer is not understood ({first_line(error)})") from error

    def _query(self) -> dict[str, Any]:
        return {name: value for name, value in self._named.items() if value is not None}

    def _greeted(self) -> str:
        """The explorer's version.

        Raises:
            BadInput: nothing answers, it is no explorer, or it asks for another token.
        """
        answer = self._sent("GET", "/health")
        if answer.status_code == NO_TOKEN:
            known = "it asks for its token; give that" if not self._token else "the token is not its own; give its own"
            raise BadInput(f"{self._url}: {known} with --token or in SAEFLOW_EXPLORER_TOKEN")
        found = _document(answer)
        if found.get("status") != "ok" or not isinstance(found.get("version"), str):
            raise BadInput(f"{self._url}: is no explorer of saeflow; {_STARTS_ONE}")
        return str(found["version"])

    def _send(self, method: str, place: str, **more: Any) -> dict[str, Any]:
        """The answer's document; a question may run the model for as long as it takes.

        Raises:
            BadInput: it is refused; the explorer's own words say why.
        """
        if len(more.get("content", b"")) > MOST_POSTED:
            raise BadInput(f"{self._url}: takes at most {MOST_POSTED >> 20} MB; give a smaller file")
        answer = self._sent(method, place, read_s=None, **more)
        found = _document(answer)
        if answer.is_success and found:
            return found
        detail = str(found.get("detail") or f"answers with status {answer.status_code}")
        if detail.startswith("there is nothing at this address"):
            raise self._other("it does not know this question")
        raise BadInput(f"{self._url}: {detail}")

    def _sent(self, method: str, place: str, read_s: float | None = _GREETING_S, **more: Any) -> httpx.Response:
        timeout = httpx.Timeout(_GREETING_S, read=read_s)
        try:
            return httpx.request(method, f"{self._url}{place}", headers=self._headers, timeout=timeout, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = first_line(error)
            raise BadInput(f"{self._url}: no explorer answers there ({reason}); {_STARTS_ONE}") from error

    def _other(self, what: str) -> BadInput:
        versions = f"saeflow {self._version} runs there and {version('saeflow')} here"
        return BadInput(f"{self._url}: {what}; {versions}: update the older one")


def _url(address: str) -> str:
    """The address with what may be left out: `localhost` is http://localhost:4300."""
    whole = address if "://" in address else f"http://{address}"
    with suppress(ValueError):
        parts = urlsplit(whole)
        if "://" not in address and parts.port is None and not parts.path.strip("/"):
            whole = f"{whole.rstrip('/')}:{PORT}"
    return whole.rstrip("/")


def _document(answer: httpx.Response) -> dict[str, Any]:
    """The object that the answer holds; an empty one where it holds none."""
    with suppress(ValueError):
        found = answer.json()
        return found if isinstance(found, dict) else {}
    return {}
