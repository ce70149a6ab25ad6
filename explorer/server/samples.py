"""Samples and their pictures."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Request, Response

from explorer.reading.images import shown_image
from explorer.reading.samples import sample_of
from explorer.server.answers import answer, json_answer, tag_of, unchanged
from explorer.server.read_route import ReadRoute
from explorer.server.schema import SampleDocument
from explorer.server.served import AskedStudy, ServedNow

router = APIRouter(tags=["samples"], route_class=ReadRoute)
Id = Annotated[str, Path(max_length=500, description="An id of the study's samples.")]


@router.get("/samples/{sample_id:path}", response_model=SampleDocument)
def sample(request: Request, served: ServedNow, sample_id: Id, study: AskedStudy = None) -> Response:
    """A sample: captions, split, attributes, and the address of its picture."""
    found = served.library.study(served.named_study(study))
    own = dict(sample_of(found, sample_id))
    image = own.pop("image", None)
    link = None if image is None else f"/images/{quote(own['image_id'], safe='')}?study={quote(found.key)}"
    return json_answer(request, {"study": found.key, "sample": own, "image": link})


@router.get(
    "/images/{image_id:path}",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "The picture as the study holds it."}},
)
def image(request: Request, served: ServedNow, image_id: Id, study: AskedStudy = None) -> Response:
    """A sample's picture, untouched."""
    found = served.library.study(served.named_study(study))
    tag = tag_of(found.samples_artifact.ref, image_id)
    shown = shown_image(found, image_id)
    return unchanged(request, tag) or answer(request, shown.content, shown.media, tag)
