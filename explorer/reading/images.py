"""Pictures of a study's samples: found by id in its table of samples, never by a path that somebody sends."""

import io
from typing import NamedTuple

import polars as pl

from core.pictures import BrokenImage, open_picture
from core.reading.study import OpenedStudy
from explorer.reading.refusals import CONFLICT, NOT_THERE, TOO_LARGE, Refusal

_LARGEST = 64 << 20
_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


class ShownImage(NamedTuple):
    """A picture's bytes and what they are."""

    content: bytes
    media: str


def shown_image(study: OpenedStudy, image_id: str) -> ShownImage:
    """The picture of that id, untouched, or a PNG of one that browsers do not show.

    Raises:
        Refusal: the study has no such picture, it is too large to be sent, or damaged.
    """
    found = study.samples.filter(pl.col("image_id") == image_id)
    name = found["image"][0] if found.height and "image" in found.columns else None
    if name is None:
        raise Refusal(
            NOT_THERE, f"image {image_id[:100]!r}: is none of {study.title}; GET /samples/ID names a sample's"
        )
    path = study.picture(str(name))
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise Refusal(
                TOO_LARGE, f"image {image_id[:100]!r}: has {size >> 20} MB; at most {_LARGEST >> 20} are sent"
            )
        content = path.read_bytes()
    except OSError as error:
        raise Refusal(NOT_THERE, f"image {image_id[:100]!r}: its file is not there; run `saeflow verify`") from error
    for magic, media in _KINDS.items():
        if content.startswith(magic):
            return ShownImage(content, media)
    return ShownImage(_as_png(content, image_id), "image/png")


def _as_png(content: bytes, image_id: str) -> bytes:
    sink = io.BytesIO()
    try:
        open_picture(content).save(sink, "PNG")
    except BrokenImage as error:
        raise Refusal(CONFLICT, f"image {image_id[:100]!r}: {error}; run `saeflow verify`") from error
    return sink.getvalue()
