"""Pictures on their way into an artefact: looked at, then copied under a name that is their content."""

import hashlib
import io
import struct
import zlib
from pathlib import Path

from PIL import Image, UnidentifiedImageError

FOLDER = "images"
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


class BrokenImage(ValueError):
    """A picture is missing or cannot be decoded; the message says which and is a reason to drop its row."""


def copy_image(source: Path, out: Path) -> str:
    """Check that a picture decodes to the last row and copy it to out/images; return its path relative to `out`.

    The name is the content's SHA-256, so equal pictures are stored once and can be told to be equal.

    Raises:
        BrokenImage: the file is missing, unreadable or not a whole picture.
    """
    try:
        content = source.read_bytes()
    except (FileNotFoundError, ValueError):  # ValueError: a NUL in the path
        raise BrokenImage("the file is missing") from None
    except OSError as error:
        raise BrokenImage(f"the file cannot be read ({error.strerror})") from error
    _check(content)
    name = f"{FOLDER}/{hashlib.sha256(content).hexdigest()[:20]}{source.suffix.lower()}"
    target = out / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return name


def _check(content: bytes) -> None:
    """`verify` finds damaged checksums, `load` a truncated file; neither finds both."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.verify()
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except UnidentifiedImageError:  # its text holds a memory address
        raise BrokenImage("not a picture of a known format") from None
    except _BROKEN as error:
        raise BrokenImage(f"not a whole picture ({error or type(error).__name__})") from error
