"""Search by what explanations say: the explanations of catalogues that come nearest to a text."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from core.errors import BadInput
from explorer.dashboard.rendering import page, served_by
from explorer.reading.explained import MOST_TEXT, Sought, explanations_like
from explorer.reading.refusals import CONFLICT, UNUSABLE, Refusal

router = APIRouter()
_MOST = 30


@router.get("/find/explanations")
def find_explanations(
    request: Request,
    q: Annotated[str, Query(max_length=MOST_TEXT)] = "",
    study: Annotated[str, Query(max_length=200)] = "",
    layer: Annotated[str, Query(max_length=6)] = "",
) -> HTMLResponse:
    """The features whose explanations come nearest to a text, of all studies where none is named."""
    context: dict[str, Any] = {"hits": [], "notes": [], "fault": ""}
    status = 200
    if q.strip():
        try:
            context |= _found(request, q, study, layer.strip())
        except BadInput as fault:
            status = fault.status if isinstance(fault, Refusal) else CONFLICT
            context["fault"] = str(fault)
    studies = [one for one in served_by(request).library.studies() if one.layers]
    context |= {"q": q, "study": study, "asked_layer": layer, "studies": studies}
    titles = {one.key: one.title for one in studies}
    return page(request, "find_explanations.html.j2", status, titles=titles, **context)


def _found(request: Request, q: str, study: str, layer: str) -> dict[str, Any]:
    if layer and not layer.isdecimal():
        raise Refusal(UNUSABLE, f"layer: {layer!r} is no number; give one, or leave it empty for all layers")
    library = served_by(request).library
    studies = [library.study(study)] if study else library.studies()
    hits, notes = explanations_like(library.catalogues, studies, int(layer) if layer else None, Sought(q, _MOST))
    return {"hits": hits, "notes": notes}
