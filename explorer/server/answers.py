"""Answers with weak ETags, in the encoding that the client takes.

An ETag stands for what the answer says, not for its bytes: it is weak, and the same whether an answer goes out as it
is, gzipped or in zstd.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Literal

import orjson
import pyarrow as pa
from fastapi import Request
from fastapi.responses import Response

Encoding = Literal["zstd", "gzip"]
JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
_TAKEN: Mapping[str, tuple[Encoding, ...]] = {
    JSON: ("zstd", "gzip"),
    ARROW: ("zstd",),  # gzip takes longer than the bytes it saves take on a local network
}
_LEAST = 1024
"""Bytes below which nothing is compressed."""
_CODECS = {"zstd": pa.Codec("zstd", compression_level=1), "gzip": pa.Codec("gzip", compression_level=1)}
SERVER = version("saeflow")
"""The version of saeflow that answers."""


def tag_of(*parts: object) -> str:
    """The weak ETag of what is made of these: versions of artefacts and labels."""
    text = json.dumps([SERVER, *map(str, parts)])
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def unchanged(request: Request, tag: str) -> Response | None:
    """The answer 304, where the client has what `tag` stands for."""
    asked = request.headers.get("if-none-match", "")
    known = {one.strip().removeprefix("W/") for one in asked.split(",")}
    headers = _headers(request, tag)
    if asked.strip() != "*" and headers["ETag"].removeprefix("W/") not in known:
        return None
    return Response(status_code=304, headers=headers)


def json_answer(request: Request, document: Any, tag: str | None = None) -> Response:
    """A document as JSON; what is no finite number is null there."""
    return answer(request, orjson.dumps(document, default=str), JSON, tag)


def answer(
    request: Request, content: bytes, media: str, tag: str | None = None, more: Mapping[str, str] | None = None
) -> Response:
    """The answer with this content, compressed where the client takes it and it is worth the time."""
    headers = {**_headers(request, tag), **(more or {})}
    encoding = _encoding(request, media) if len(content) >= _LEAST else None
    if encoding is not None:
        content = _CODECS[encoding].compress(content, asbytes=True)
        headers["Content-Encoding"] = encoding
    return Response(content, media_type=media, headers=headers)


def _headers(request: Request, tag: str | None) -> dict[str, str]:
    """The headers of an answer; its ETag is of this address alone, for a tag is the same for all of a layer."""
    if tag is None:
        return {"Cache-Control": "no-store", "Vary": "Accept-Encoding"}
    own = tag_of(tag, request.scope["path"], request.scope["query_string"])
    return {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding", "ETag": own}


def _encoding(request: Request, media: str) -> Encoding | None:
    """The first encoding of ours that the client takes."""
    taken: dict[str, bool] = {}
    for part in request.headers.get("accept-encoding", "").split(","):
        name, _, weight = part.partition(";")
        taken[name.strip().lower()] = weight.replace(" ", "").rstrip("0.") != "q="
    return next((one for one in _TAKEN.get(media, ()) if taken.get(one, taken.get("*", False))), None)
