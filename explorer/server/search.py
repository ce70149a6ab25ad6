"""Which features fire on a text or a picture."""

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from explorer.reading.samples import by_feature
from explorer.reading.search import MOST_TEXT, Question, ordinary, what_fires
from explorer.server.answers import json_answer
from explorer.server.pages import of_layer
from explorer.server.schema import Search
from explorer.server.served import Asked, InQuery

router = APIRouter(tags=["search"])
_PICTURE = {
    "requestBody": {"required": True, "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}
}


class Wanted(NamedTuple):
    """What is searched for, and which of the features that fire are shown."""

    text: str
    language: str | None
    segment: str | None
    limit: int


async def _wanted(
    text: Annotated[
        str, Query(max_length=MOST_TEXT, description="A caption; what spells control tokens is text.")
    ] = "",
    language: Annotated[str | None, Query(max_length=20, description="The caption's; else that of its script.")] = None,
    segment: Annotated[str | None, Query(max_length=20, description="Only rows of: image, prompt, caption.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Features, at most.")] = 50,
) -> Wanted:
    return Wanted(text, language, segment, limit)


@router.get("/search", response_model=Search)
def search(asked: InQuery, wanted: Annotated[Wanted, Depends(_wanted)]) -> Response:
    """The features of a layer that fire on a text, as if it were a caption of the study without its picture."""
    return _found(asked, wanted, None)


@router.post("/search", response_model=Search, openapi_extra=_PICTURE)
async def search_picture(request: Request, asked: InQuery, wanted: Annotated[Wanted, Depends(_wanted)]) -> Response:
    """The features of a layer that fire on the picture in the body, and on a caption of it if one is given."""
    picture = await request.body()
    return await run_in_threadpool(_found, asked, wanted, picture)


def _found(asked: Asked, wanted: Wanted, picture: bytes | None) -> Response:
    shown = asked.open()
    found = what_fires(shown.study, shown.indexed.layer, Question(wanted.text, wanted.language, picture))
    own = ordinary(found, wanted.segment)
    strongest = by_feature(own.entries, own.tokens, wanted.limit)
    tokens = found.tokens.select("index", "token_id", "token", "segment", "language", "position", "special")
    document = of_layer(shown, text=wanted.text, tokens=tokens.to_dicts(), features=strongest.to_dicts())
    return json_answer(asked.request, document)
