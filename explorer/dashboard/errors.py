"""What is refused, as a page where a browser asks for one, and in JSON where a program asks."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from core.errors import BadInput
from core.store.artifacts import DamagedArtifact
from explorer.dashboard.rendering import page

_TITLES = {
    400: "This request cannot be answered",
    404: "This is not here",
    405: "This address is asked by another method",
    409: "This is not whole",
    413: "This is too large",
    422: "This cannot be read",
    429: "The model is busy",
}
_PAGES = ("/s/", "/compare", "/find")
Handler = Callable[[Request, Any], Awaitable[Response]]


def answer_with_pages(app: FastAPI) -> None:
    """Let the app's refusals be pages for browsers; what it answers to programs stays as it is."""
    for kind in (BadInput, DamagedArtifact, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _either(app.exception_handlers[kind]))


def wants_page(request: Request) -> bool:
    """Whether a refusal is shown as a page: on a page's address, or to who prefers HTML."""
    path = request.url.path
    return path == "/" or path.startswith(_PAGES) or "text/html" in request.headers.get("accept", "")


def _either(own: Any) -> Handler:
    async def answer(request: Request, error: Any) -> Response:
        refused: Response = await own(request, error)
        if not wants_page(request):
            return refused
        words = getattr(error, "detail", "") if isinstance(error, HTTPException) else _words(refused)
        title = _TITLES.get(refused.status_code, "This cannot be shown")
        return page(request, "error.html.j2", refused.status_code, title=title, words=words, code=refused.status_code)

    return answer


def _words(refused: Response) -> str:
    return str(json.loads(bytes(refused.body))["detail"])
