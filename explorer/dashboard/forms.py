"""Forms as browsers send them."""

import re

from explorer.reading.refusals import UNUSABLE, Refusal

_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,70})"?')
_NAME = re.compile(rb'[;\s]name="([^"\r\n]*)"')


def multipart(content_type: str, body: bytes) -> dict[str, bytes]:
    """The fields of a form with a file (RFC 7578), by name.

    Raises:
        Refusal: it is no such form.
    """
    boundary = _BOUNDARY.search(content_type)
    if boundary is None or not content_type.startswith("multipart/form-data"):
        raise Refusal(UNUSABLE, "the body is no form; send multipart/form-data, or POST the picture to /search")
    fields: dict[str, bytes] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name is not None:
            fields.setdefault(name[1].decode("utf-8", "replace"), content)
    return fields
