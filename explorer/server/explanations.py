"""What feature catalogues say of a feature, and which features they explain as a text says."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from explorer.reading.catalogues import over_features, said_of
from explorer.reading.explained import MOST_HITS, MOST_TEXT, Sought, explanations_like
from explorer.server.answers import json_answer, tag_of, unchanged
from explorer.server.pages import of_layer
from explorer.server.schema import Explanations, ExplanationSearch
from explorer.server.served import AskedLayer, AskedStudy, FeatureNumber, InPath, ServedNow

router = APIRouter(tags=["explanations"])


@router.get("/studies/{study}/layers/{layer}/features/{feature}/explanations", response_model=Explanations)
def explanations(asked: InPath, feature: FeatureNumber) -> Response:
    """What each catalogue says of a feature, by explainer and language, with scores, prompts and raw answers."""
    shown, catalogues = asked.feature(feature), asked.served.library.catalogues
    tag = tag_of(shown.version, catalogues.version())
    if same := unchanged(asked.request, tag):
        return same
    there = catalogues.of_layer(shown.study, shown.indexed.layer)
    said = [
        {
            "catalogue": one.name,
            "explanations": said_of(one, sae, feature),
            "over_features": over_features(one),
        }
        for one, sae in there.found
    ]
    document = of_layer(shown, feature=feature, sae=shown.sae, catalogues=said, notes=list(there.notes))
    return json_answer(asked.request, document, tag)


@router.get("/search/explanations", response_model=ExplanationSearch)
def search_explanations(
    request: Request,
    served: ServedNow,
    q: Annotated[str, Query(max_length=MOST_TEXT, description="What the explanation is about.")],
    study: AskedStudy = None,
    layer: AskedLayer = None,
    limit: Annotated[int, Query(ge=1, le=MOST_HITS, description="Explanations per catalogue, at most.")] = 20,
) -> Response:
    """The explanations nearest to a text: by meaning where the catalogue's embedder is on this machine, else those that
    have all its words. Of a study, or of all."""
    library = served.library
    studies = library.studies() if study is None else [library.study(study)]
    hits, notes = explanations_like(library.catalogues, studies, layer, Sought(q, limit))
    return json_answer(request, {"q": q, "catalogues": [one._asdict() for one in hits], "notes": notes})
