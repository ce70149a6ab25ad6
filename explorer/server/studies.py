"""Studies, layers, and whether the server is there."""

from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Query, Request, Response

from core.reading.study import OpenedStudy
from explorer.server.answers import SERVER, json_answer, tag_of, unchanged
from explorer.server.pages import paged
from explorer.server.schema import Health, Layers, StudyEntry, Vocabulary
from explorer.server.served import AskedPage, InQuery, ServedNow, StudyName

router = APIRouter(tags=["studies"])


@router.get("/health", response_model=Health)
async def health(request: Request) -> Response:
    """Whether the server answers."""
    return json_answer(request, {"status": "ok", "version": SERVER})


@router.get("/studies", response_model=list[StudyEntry])
def studies(request: Request, served: ServedNow) -> Response:
    """The studies and variants that are shown, the latest first."""
    return json_answer(request, [_entry(study) for study in served.library.studies()])


@router.get("/studies/{study}/layers", response_model=Layers)
def layers(request: Request, served: ServedNow, study: StudyName) -> Response:
    """The layers of a study, with the metrics of their SAEs."""
    found = served.library.study(study)
    metrics = found.sae_metrics()
    entries = [
        {"layer": layer, "sae": found.layer_artifacts(layer).sae.ref, "metrics": metrics.get(layer, {})}
        for layer in found.layers
    ]
    return json_answer(request, {"study": found.key, "layers": entries})


@router.get("/context/vocab", response_model=Vocabulary)
def vocab(
    asked: InQuery,
    page: AskedPage,
    contains: Annotated[str, Query(max_length=100, description="Only tokens that hold this text.")] = "",
) -> Response:
    """The tokens that a layer's features can fire on, the most frequent first."""
    shown = asked.open()
    tag = tag_of(shown.version)
    words = shown.vocabulary()
    found = words.filter(pl.col("token").str.contains(contains, literal=True)) if contains else words
    return unchanged(asked.request, tag) or json_answer(asked.request, paged(shown, "tokens", found, page), tag)


def _entry(study: OpenedStudy) -> dict[str, Any]:
    return {
        "key": study.key,
        "name": study.name,
        "title": study.title,
        "description": str(study.config.get("description") or ""),
        "layers": list(study.layers),
        "finished": study.finished,
        "results": list(study.results),
    }
