"""All pages, with their style and script, as a part of the explorer's app."""

from fastapi import APIRouter, FastAPI, Response
from starlette.exceptions import HTTPException

from explorer.dashboard import compared, features, like, samples, searching, studies, tables
from explorer.dashboard.errors import answer_with_pages
from explorer.dashboard.rendering import static_file
from explorer.dashboard.rows import Tables

_static = APIRouter()


@_static.get("/static/{name}", include_in_schema=False)
def static(name: str) -> Response:
    """The style, the script or a font of the pages."""
    found = static_file(name)
    if found is None:
        raise HTTPException(404)
    return found


def add_pages(app: FastAPI) -> None:
    """Add the pages to an app whose refusals are answered in JSON already."""
    app.state.tables = Tables(app.state.served)
    parts = (studies, tables, features, samples, compared, searching, like)
    for router in (_static, *(part.router for part in parts)):
        app.include_router(router, include_in_schema=False)
    answer_with_pages(app)
