"""The explorer's server: its addresses, its refusals, and who may ask."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from explorer.server import activations, ask, explanations, features, labels, samples, search, studies
from explorer.server.access import Guarded
from explorer.server.own_origin import own_pages_only
from explorer.server.refusal_answers import answer_refusals
from explorer.server.schema import Refused
from explorer.server.served import Served

_REFUSALS: dict[int | str, dict[str, Any]] = {status: {"model": Refused} for status in (400, 404, 409, 413, 422)}


def make_app(served: Served, extend: Callable[[FastAPI], None] | None = None) -> FastAPI:
    """The addresses, over what is served, and what `extend` adds to them. Pages of FastAPI's that load scripts from
    elsewhere are left out."""
    app = FastAPI(
        title="saeflow explorer",
        version=version("saeflow"),
        description="Features, activations, samples and labels of studies that have run.",
        docs_url=None,
        redoc_url=None,
        responses=_REFUSALS,
    )
    app.state.served = served
    answer_refusals(app)
    for part in (activations, features, samples, studies, explanations, labels, search, ask):  # the most asked first
        app.include_router(part.router)
    if extend is not None:
        extend(app)
    return app


def guarded(app: ASGIApp, names: Sequence[str], port: int, token: str | None = None) -> ASGIApp:
    """The app behind its limits: asked under one of `names`, by its own pages or none, with the token if one is set."""
    return own_pages_only(Guarded(app, token), names, port)
