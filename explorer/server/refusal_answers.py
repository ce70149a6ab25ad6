"""Refusals as answers in JSON: `{"detail": "one line"}`."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from core.errors import BadInput
from core.store.artifacts import DamagedArtifact
from explorer.reading.refusals import BUSY, CONFLICT, NO_TOKEN, UNUSABLE, Refusal


def answer_refusals(app: FastAPI) -> None:
    """Let the app answer refusals this way."""
    app.add_exception_handler(BadInput, _bad_input)
    app.add_exception_handler(DamagedArtifact, _bad_input)
    app.add_exception_handler(RequestValidationError, _wrong_fields)
    app.add_exception_handler(HTTPException, _no_route)


async def _bad_input(request: Request, error: Exception) -> JSONResponse:
    return refused(error.status if isinstance(error, Refusal) else CONFLICT, str(error))


async def _wrong_fields(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return refused(UNUSABLE, "; ".join(map(_field, error.errors()[:5])))


async def _no_route(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    words = {
        404: "there is nothing at this address; GET /openapi.json lists what there is",
        405: "this address is asked by another method; GET /openapi.json lists them",
    }
    answer = refused(error.status_code, words.get(error.status_code, str(error.detail)))
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(_methods(request)) or (error.headers or {}).get("Allow", "")
    return answer


def _methods(request: Request) -> list[str]:
    """The methods of the address that was asked for; Starlette names those of its first route alone."""
    address = getattr(request.scope.get("route"), "path", "")
    return sorted(method.upper() for method in request.app.openapi()["paths"].get(address, ()))


def refused(status: int, words: str) -> JSONResponse:
    """The answer to a request that is refused."""
    headers = {"WWW-Authenticate": "Bearer"} if status == NO_TOKEN else {"Retry-After": "5"} if status == BUSY else {}
    line = " ".join(words.split()).encode("utf-8", "backslashreplace").decode()  # JSON can hand in half a character
    return JSONResponse({"detail": line}, status, headers)


def _field(fault: dict[str, Any]) -> str:
    if fault["type"] == "union_tag_invalid":
        known = fault["ctx"]["expected_tags"]
        return f"ask: this explorer does not know the question {fault['ctx']['tag']!r}; it knows {known}"
    if fault["type"] == "union_tag_not_found":
        return 'ask: is missing; name the question, as {"ask": "overview", "feature": 42}'
    place = [str(part) for part in fault["loc"] if part not in ("query", "path", "body")]
    return f"{'.'.join(place) or 'body'}: {fault['msg']}"
