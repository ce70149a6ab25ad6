"""Labels of features: one feature's, and all of a model's as a file."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from explorer.labels.files import author_name, label_text, read, written
from explorer.labels.store import Labelled, model_name
from explorer.server.answers import json_answer
from explorer.server.pages import of_layer
from explorer.server.schema import Imported, Label, Labels, NewLabel
from explorer.server.served import Asked, AskedStudy, FeatureNumber, InPath, ServedNow

router = APIRouter(tags=["labels"])
_ADDRESS = "/studies/{study}/layers/{layer}/features/{feature}/label"


@router.get(_ADDRESS, response_model=Label)
def label(asked: InPath, feature: FeatureNumber) -> Response:
    """A feature's label and every change of it."""
    return _label(asked, feature)


@router.put(_ADDRESS, response_model=Label)
def set_label(asked: InPath, feature: FeatureNumber, new: NewLabel) -> Response:
    """Set a feature's label; what it was stays in its history."""
    return _put(asked, feature, label_text(new.text), author_name(new.author))


@router.delete(_ADDRESS, response_model=Label)
def remove_label(
    asked: InPath,
    feature: FeatureNumber,
    author: Annotated[str, Query(max_length=100, description="Who removes it.")],
) -> Response:
    """Remove a feature's label; what it was stays in its history."""
    return _put(asked, feature, None, author_name(author))


@router.get("/labels", response_model=Labels)
def export(request: Request, served: ServedNow, study: AskedStudy = None) -> Response:
    """All labels of a study's model with their history, as one file that POST takes."""
    model = model_name(served.library.study(served.named_study(study)).config)
    return json_answer(request, written(model, served.labels.of_model(model)))


@router.post(
    "/labels",
    response_model=Imported,
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def import_(request: Request, served: ServedNow) -> Response:
    """Add the changes of such a file that are not here yet, all or none; a newer label stays."""
    content = await request.body()
    changes = read(content)
    added = await run_in_threadpool(served.labels.merge, changes)
    return json_answer(request, {"read": len(changes), "added": added})


def _put(asked: Asked, feature: int, text: str | None, author: str) -> Response:
    shown = asked.feature(feature)
    labelled = Labelled(shown.sae, feature, shown.indexed.layer, model_name(shown.study.config))
    asked.served.labels.put(labelled, text, author)
    return _label(asked, feature)


def _label(asked: Asked, feature: int) -> Response:
    shown = asked.feature(feature)
    history = asked.served.labels.history(shown.sae, feature)
    changes = [{"text": one.text, "author": one.author, "time": one.time} for one in history]
    about = of_layer(shown, feature=feature, sae=shown.sae, label=history[0].text if history else None)
    return json_answer(asked.request, {**about, "history": changes})
