"""Pictures as a person sees them: upright, 8 bits per channel by the value range they have, on white where transparent.

Every picture of a study is opened here: for the model, the report and the maps. A colour profile is not applied, as the
processors of vision-language models apply none.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for a file that is no whole picture, or an odd one."""
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation; 1 is upright."""
_SIDEWAYS = frozenset({5, 6, 7, 8})
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_EXTRA_SAMPLES, _TIFF_SAMPLE_FORMAT = 258, 262, 338, 339
_WHITE_IS_ZERO, _UNSIGNED = 0, 1
_FLOAT_WHITES = (1, 255, 65535)
_INTEGER_WHITES = (255, 65535, 2**31 - 1, 2**32 - 1)
_TOLERANCE = 0.01  # resampling overshoots a little on both sides
_DARKEST_KNOWN, _DARKEST_GUESSED = 1 / 16, 1 / 4


class BrokenImage(ValueError):
    """A picture is missing, cannot be decoded, or cannot be shown as it is meant; the message is a reason to drop its
    row."""


class UnknownFormat(BrokenImage):
    """A file is no picture of a format that Pillow knows."""


def open_picture(source: Path | bytes) -> Image.Image:
    """Decode a picture (a file, or its content) to RGB as a person sees it; of an animation or pages, the first.

    EXIF orientation is undone. Values of more than 8 bits are scaled: of 16 bits by what 16 bits hold; 32-bit integers
    and floats by the smallest usual white that holds them (floats: 1, 255, 65,535; integers: 255, 65,535, 2³¹ − 1,
    2³² − 1).

    Raises:
        UnknownFormat: it is no picture, or of an unknown format.
        BrokenImage: the file is missing, damaged or may not be read, or which values are black and white is not known.
    """
    with _opened(source) as image:
        return _as_seen(image)


def check_picture(content: bytes) -> str:
    """Check that a picture is whole to its last row and can be shown; return its format as Pillow calls it.

    Raises:
        UnknownFormat, BrokenImage: as `open_picture`.
    """
    with _opened(content) as image:
        with _decoding():
            image.verify()  # finds damaged checksums, and decoding a truncated file; neither finds both
        kind = str(image.format)
    open_picture(content)
    return kind


def seen_size(path: Path) -> tuple[int, int]:
    """Width and height of `open_picture(path)`, mostly without decoding it.

    Raises:
        BrokenImage: the file is missing, no picture, or may not be read.
    """
    with _opened(path) as image:
        if image.format == "TIFF":  # Pillow turns it while it loads
            _load(image)
        width, height = image.size
        return (height, width) if _orientation(image) in _SIDEWAYS else (width, height)


@contextmanager
def _opened(source: Path | bytes) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd EXIF, large pictures: what is wrong with them raises
        with ExitStack() as files:
            with _decoding():
                # a file, not its path: Pillow maps an uncompressed TIFF that lies on its side with its sides exchanged
                file: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
                image = files.enter_context(Image.open(files.enter_context(file)))
            yield image


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn what Pillow and the system raise for a file into the reason.

    Raises:
        UnknownFormat, BrokenImage: as `open_picture`.
    """
    try:
        yield
    except FileNotFoundError:
        raise BrokenImage("the file is missing") from None
    except PermissionError:
        raise BrokenImage("the file may not be read; change its permissions") from None
    except UnidentifiedImageError:  # its text holds a memory address
        raise UnknownFormat("not a picture of a known format") from None
    except DAMAGED as error:
        raise BrokenImage(f"not a whole picture ({error or type(error).__name__})") from error


def _load(image: Image.Image) -> None:
    with _decoding():
        image.load()


def _as_seen(image: Image.Image) -> Image.Image:
    deep = ";16" in str(getattr(image, "tile", ""))  # of colours with 16 bits per channel Pillow keeps the high byte
    _load(image)
    _refuse_unclear(image)
    turn = _UPRIGHT.get(_orientation(image))
    seen = _on_white(_eight_bits(image) if image.mode in ("I", "F") or image.mode.startswith("I;") else image)
    if deep and image.mode in ("RGB", "RGBA", "LA", "CMYK"):
        _refuse_dark(seen if image.mode == "CMYK" else image)
    return seen if turn is None else seen.transpose(turn)


def _refuse_dark(image: Image.Image) -> None:
    """Refuse a picture of 16 bits per channel of which Pillow keeps too little, or nothing at all.

    Raises:
        BrokenImage: its colours, as they are before white shines through, are all but black.
    """
    bands = _extrema(image)
    high = max(band[1] for band in (bands[:1] if image.mode == "LA" else bands[:3]))
    if high < 256 * _DARKEST_KNOWN:
        raise BrokenImage(_too_dark(256 * high + 255, 65535, "at most "))


def _refuse_unclear(image: Image.Image) -> None:
    """Refuse a TIFF that Pillow reads as what it need not be.

    Raises:
        BrokenImage: a fourth channel need not be transparency (infrared), or bytes have a sign.
    """
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode == "RGBA" and tags and _TIFF_EXTRA_SAMPLES not in tags and _extrema(image)[3] != (255, 255):
        raise BrokenImage("it does not say what its fourth channel is; save it with three")
    if image.mode == "L" and tags.get(_TIFF_SAMPLE_FORMAT, (_UNSIGNED,))[0] != _UNSIGNED:
        raise BrokenImage("its values have a sign, and which of them are black and white is not known")


def _extrema(image: Image.Image) -> list[tuple[float, float]]:
    return [band.getextrema() for band in image.split()]  # type: ignore[misc]


def _orientation(image: Image.Image) -> int:
    """EXIF's (or XMP's) orientation; 1 where it is missing or damaged, as viewers take it."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGED:
        return 1
    return found if isinstance(found, int) else 1


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    own = image.convert("RGBA")
    white = Image.new("RGBA", own.size, "white")
    return Image.alpha_composite(white, own).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A picture of one channel with more than 8 bits, in grey."""
    values = np.asarray(image)
    tags: Any = getattr(image, "tag_v2", {})
    if (
        image.mode == "I"
        and tags.get(_TIFF_BITS) == (32,)
        and tags.get(_TIFF_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED
    ):
        values = values.view(np.uint32)  # Pillow has no unsigned mode
    white = _white(image, values)
    grey = np.rint(np.clip(values / np.float64(white), 0, 1) * 255).astype(np.uint8)
    if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    if isinstance(hidden := image.info.get("transparency"), int):
        grey[values == hidden] = 255
    return Image.fromarray(grey)


def _white(image: Image.Image, values: np.ndarray) -> float:
    """The value that is shown white.

    Raises:
        BrokenImage: it is not known.
    """
    if not np.isfinite(values).all():
        raise BrokenImage("its values are not all finite (NaN or infinity)")
    low, high = float(values.min()), float(values.max())
    known = _known_white(image)
    usual = _FLOAT_WHITES if image.mode == "F" else _INTEGER_WHITES
    white = known or next((white for white in usual if high <= white * (1 + _TOLERANCE)), None)
    if white is None or low < -_TOLERANCE * white:
        raise BrokenImage(
            f"its values go from {low:,.10g} to {high:,.10g}, and which of them are black and white is not known; "
            "save it with 8 bits per channel"
        )
    if 0 < high < white * (_DARKEST_KNOWN if known else _DARKEST_GUESSED):
        raise BrokenImage(_too_dark(high, white))
    return white


def _known_white(image: Image.Image) -> int | None:
    """The largest value that the format has room for; null where that says nothing about white."""
    bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS, (16,))[0]
    if image.mode.startswith("I;"):
        return int(2**bits - 1)
    if image.mode == "I" and image.format == "TIFF" and bits == 16:
        return 2**15 - 1  # signed
    return 65535 if image.mode == "I" and image.format in ("PNG", "PPM") else None


def _too_dark(high: float, white: float, about: str = "") -> str:
    return (
        f"its brightest value is {about}{high:,.10g} where white is {white:,.10g}: all but black; save it with 8 bits "
        "per channel, or with values over the whole range"
    )
