"""Pictures on their way into an artefact: looked at, then copied under a name that is their content."""

import hashlib
import os
from pathlib import Path

from core.data.signatures import HEAD_BYTES, signature
from core.pictures import BrokenImage, UnknownFormat, check_picture

FOLDER = "images"
_ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "JPEG2000": "jp2"}


def is_there(path: Path) -> bool:
    """Whether a file can be read at this path, whatever the path is."""
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):  # too long, a NUL, a folder that may not be entered
        return False


def read_image(source: Path) -> bytes:
    """The content of a picture's file.

    Raises:
        BrokenImage: the file is missing or unreadable, or is a folder or a device.
    """
    try:
        if source.is_dir():
            raise BrokenImage("a folder, not a picture")
        if source.exists() and not source.is_file():
            raise BrokenImage("a device, not a picture")
        return source.read_bytes()
    except BrokenImage:
        raise
    except (FileNotFoundError, ValueError):  # ValueError: a NUL in the path
        raise BrokenImage("the file is missing") from None
    except OSError as error:
        raise BrokenImage(f"the file cannot be read ({error.strerror})") from error


def content_name(content: bytes) -> str:
    """A name that equal pictures share: the beginning of the content's SHA-256."""
    return hashlib.sha256(content).hexdigest()[:20]


def store_image(content: bytes, out: Path) -> str:
    """Check that a picture is whole and can be shown, write it to out/images, and return its path relative to `out`.

    Its name and ending follow from its content, so that equal pictures are stored once, whatever they were called.

    Raises:
        UnknownFormat: it is no picture of a known format; the message says what else it is, where that is known.
        BrokenImage: it is not a whole picture, or cannot be shown as it is meant.
    """
    try:
        kind = check_picture(content)
    except UnknownFormat as error:
        found = signature(content[:HEAD_BYTES])
        if found is None:
            raise
        raise UnknownFormat(f"{error}: {found}") from error
    name = f"{FOLDER}/{content_name(content)}.{_ENDINGS.get(kind, kind.lower())}"
    target = out / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return name
