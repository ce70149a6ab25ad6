"""Pictures small enough to stand inside a page, and maps laid over them."""

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from core.figures.picture_map import heated
from core.pictures import BrokenImage, open_picture

LARGEST = 256
"""Pixels of a picture's longer side, at most."""


@dataclass(frozen=True)
class Picture:
    """Encoded bytes of a picture and its size."""

    content: bytes
    suffix: str
    width: int
    height: int

    @cached_property
    def name(self) -> str:
        """A file name that follows from the content."""
        return f"{hashlib.sha256(self.content).hexdigest()[:16]}.{self.suffix}"

    @cached_property
    def address(self) -> str:
        """The picture itself, as a data address."""
        kind = "jpeg" if self.suffix == "jpg" else "png"
        return f"data:image/{kind};base64,{base64.b64encode(self.content).decode()}"


@dataclass(frozen=True)
class Pictures:
    """The pictures below one folder; null where there are none."""

    folder: Path | None

    def thumbnail(self, name: str | None) -> Picture | None:
        """The picture, made smaller where it is large; null where it is missing or cannot be read."""
        image = self._open(name)
        return None if image is None else _encode(image)

    def overlay(self, name: str | None, values: Sequence[float] | None) -> Picture | None:
        """The picture with a square grid of values over it; null where either is missing."""
        image = self._open(name)
        drawn = None if image is None or not values else heated(image, values)
        return None if drawn is None else _encode(drawn)

    def _open(self, name: str | None) -> Image.Image | None:
        if self.folder is None or not name:
            return None
        try:
            small = open_picture(self.folder / name)
        except BrokenImage:
            return None
        if max(small.size) > LARGEST:
            small.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        return small


def _encode(image: Image.Image) -> Picture:
    """PNG, or JPEG where that is much smaller (photographs)."""
    png, jpeg = io.BytesIO(), io.BytesIO()
    image.save(png, "PNG", optimize=True)
    image.save(jpeg, "JPEG", quality=88)
    photograph = 2 * jpeg.tell() < png.tell() and png.tell() > 40_000
    content, suffix = (jpeg, "jpg") if photograph else (png, "png")
    return Picture(content.getvalue(), suffix, image.width, image.height)
