"""Search by text or picture: the study's model runs once, and the features that fire are shown where they do."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from core.errors import BadInput
from core.reading.study import OpenedStudy
from explorer.dashboard.firing import Firing, firing
from explorer.dashboard.forms import multipart
from explorer.dashboard.rendering import page, served_by
from explorer.reading.refusals import CONFLICT, UNUSABLE, Refusal
from explorer.reading.search import MOST_TEXT, Question, ordinary, what_fires
from explorer.server.served import Served

router = APIRouter()


class Wanted(NamedTuple):
    """What the form holds; nothing is searched for without a text or a picture."""

    study: str
    layer: str
    text: str
    language: str
    picture: bytes = b""


class Outcome(NamedTuple):
    """What was found, or why nothing could be."""

    found: tuple[Firing, ...]
    fault: str = ""
    status: int = 200


@router.get("/find")
def find(
    request: Request,
    study: Annotated[str, Query(max_length=200)] = "",
    layer: Annotated[str, Query(max_length=6)] = "",
    text: Annotated[str, Query(max_length=MOST_TEXT)] = "",
    language: Annotated[str, Query(max_length=20)] = "",
) -> HTMLResponse:
    """The features that fire on a text."""
    return _page(request, Wanted(study, layer, text, language))


@router.post("/find")
async def find_picture(request: Request) -> HTMLResponse:
    """The features that fire on a picture, and on a text with it if there is one."""
    fields = multipart(request.headers.get("content-type", ""), await request.body())
    said = {name: fields.get(name, b"").decode("utf-8", "replace") for name in ("study", "layer", "text", "language")}
    return await run_in_threadpool(_page, request, Wanted(**said, picture=fields.get("picture", b"")))


def _page(request: Request, wanted: Wanted) -> HTMLResponse:
    served = served_by(request)
    studies = [study for study in served.library.studies() if study.layers]
    chosen = _chosen(served, studies, wanted.study)
    number = _layer(served, chosen, wanted.layer)
    asked = bool(wanted.text.strip() or wanted.picture)
    outcome = _outcome(served, chosen, number, wanted) if asked and chosen is not None else Outcome(())
    context: Mapping[str, Any] = {
        "studies": studies,
        "chosen": chosen,
        "layer": number,
        "wanted": wanted,
        "asked": asked,
        **outcome._asdict(),
    }
    return page(request, "find.html.j2", **context)


def _chosen(served: Served, studies: list[OpenedStudy], name: str) -> OpenedStudy | None:
    if name or served.study is not None:
        return served.library.study(name or str(served.study))
    return studies[0] if studies else None


def _layer(served: Served, study: OpenedStudy | None, asked: str) -> int | None:
    if study is None or not study.layers:
        return None
    if asked.isdecimal():
        return int(asked)
    return served.layer if served.layer in study.layers else study.layers[len(study.layers) // 2]


def _outcome(served: Served, study: OpenedStudy, layer: int | None, wanted: Wanted) -> Outcome:
    try:
        if layer is None:
            raise Refusal(UNUSABLE, f"study {study.title}: has no layer yet")
        shown = served.library.layer(study.key, layer)
        question = Question(wanted.text, wanted.language or None, wanted.picture or None)
        segment = None if wanted.picture else "caption"  # the prompt is the same before every text
        own = ordinary(what_fires(shown.study, layer, question), segment)
    except BadInput as refusal:
        return Outcome((), str(refusal), refusal.status if isinstance(refusal, Refusal) else CONFLICT)
    labels = {number: str(change.text) for number, change in served.labels.current(shown.sae).items()}
    return Outcome(tuple(firing(own.entries, own.tokens, labels)))
