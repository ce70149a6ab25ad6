"""A picture is what a person sees, whatever stands in its file."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core import pictures
from core.pictures import BrokenImage, UnknownFormat, check_picture, open_picture, seen_size

UNDONE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores an upright scene under each EXIF orientation."""


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    image = Image.new("RGB", (40, 24), (200, 220, 255))
    ImageDraw.Draw(image).rectangle((4, 4, 15, 20), fill=(200, 40, 40))
    return image


@pytest.fixture(scope="module")
def grey(scene: Image.Image) -> np.ndarray:
    return np.asarray(scene.convert("L")).astype(np.int64)


def encoded(image: Image.Image, kind: str, **more: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def encoded_array(values: np.ndarray, kind: str = "TIFF", **more: Any) -> bytes:
    return encoded(Image.fromarray(values), kind, **more)


def seen(content: bytes) -> np.ndarray:
    return np.asarray(open_picture(content)).astype(int)


def png_of_16_bits(values: np.ndarray) -> bytes:
    """Pillow writes no PNG with 16 bits per channel and several of them."""
    kind = {2: 4, 3: 2, 4: 6}[values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff_of_unsigned(values: np.ndarray) -> bytes:
    """Pillow writes 32 bits as signed."""
    return retagged(encoded_array(values.astype(np.uint32).view(np.int32)), 339, 2, (339, 1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_picture_stored_on_its_side_is_upright(
    scene: Image.Image, tmp_path: Path, kind: str, orientation: int
) -> None:
    stored = scene.transpose(UNDONE[orientation]) if orientation in UNDONE else scene
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "picture").write_bytes(encoded(stored, kind, exif=exif, quality=95))
    upright = open_picture(tmp_path / "picture")
    assert upright.size == scene.size == seen_size(tmp_path / "picture")
    assert np.abs(np.asarray(upright).astype(int) - np.asarray(scene)).mean() < 8


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_uncompressed_tiff_on_its_side_is_upright(
    scene: Image.Image, grey: np.ndarray, tmp_path: Path, kind: type, orientation: int
) -> None:
    upright = Image.fromarray(grey.astype(np.uint8))
    stored = np.asarray(upright.transpose(UNDONE[orientation]) if orientation in UNDONE else upright)
    values = (stored.astype(np.int64) * (257 if kind is np.uint16 else 1)).astype(kind)
    (tmp_path / "picture").write_bytes(encoded_array(values, tiffinfo={274: orientation}))
    assert seen_size(tmp_path / "picture") == scene.size
    assert np.array_equal(np.asarray(open_picture(tmp_path / "picture"))[..., 0], grey)


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_is_none_leaves_the_picture_as_it_is(scene: Image.Image, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(seen(encoded(scene, "PNG", exif=exif)), np.asarray(scene))


def test_damaged_exif_is_passed_over(scene: Image.Image) -> None:
    content = encoded(scene, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(seen(content), np.asarray(scene))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_16_bits_are_scaled_by_what_16_bits_hold(grey: np.ndarray, kind: str) -> None:
    found = seen(encoded_array((grey * 257).astype(np.uint16), kind))
    assert np.array_equal(found, grey[..., None].repeat(3, axis=2))


def test_colours_of_16_bits_are_scaled_too(scene: Image.Image) -> None:
    values = np.asarray(scene).astype(np.int64)
    assert np.array_equal(seen(png_of_16_bits(values * 257)), values)


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("factor", [1, 16])
def test_16_bits_that_hold_8_or_12_are_refused_though_a_pixel_is_transparent(
    scene: Image.Image, channels: int, factor: int
) -> None:
    values = np.asarray(scene.convert("RGBA")).astype(np.int64)[..., 4 - channels :] * factor
    if channels != 3:
        values[..., -1] = 65535
        values[0, 0, -1] = 0
    with pytest.raises(BrokenImage, match="all but black; save it with 8 bits"):
        open_picture(png_of_16_bits(values))


@pytest.mark.parametrize(
    ("factor", "kind"),
    [
        (1 / 255, np.float32),
        (1, np.float32),
        (257, np.float32),
        (1, np.int32),
        (257, np.int32),
        ((2**31 - 1) / 255, np.int32),
    ],
)
def test_32_bits_and_floats_are_scaled_to_the_usual_white(grey: np.ndarray, factor: float, kind: type) -> None:
    found = seen(encoded_array((grey * factor).astype(kind)))
    assert np.abs(found[..., 0] - grey).max() <= 1


def test_unsigned_32_bits_are_no_negative_numbers(grey: np.ndarray) -> None:
    found = seen(tiff_of_unsigned(grey * ((2**32 - 1) // 255)))
    assert np.abs(found[..., 0] - grey).max() <= 1


def test_white_may_be_zero(grey: np.ndarray) -> None:
    content = encoded_array((65535 - grey * 257).astype(np.uint16), tiffinfo={262: 0})
    assert np.array_equal(seen(content)[..., 0], grey)


def test_a_black_picture_is_black(grey: np.ndarray) -> None:
    for kind in (np.uint16, np.int32, np.float32):
        assert seen(encoded_array(np.zeros_like(grey).astype(kind))).max() == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda g: np.where(g == g.max(), np.nan, g / 255).astype(np.float32), "not all finite"),
        (lambda g: np.where(g == g.max(), np.inf, g / 255).astype(np.float32), "not all finite"),
        (lambda g: (g / 127.5 - 1).astype(np.float32), "which of them are black and white is not known"),
        (lambda g: (g * 1e6).astype(np.float32), "which of them are black and white is not known"),
        (lambda g: (g / 20).astype(np.float32), "white is 255: all but black"),
        (lambda g: (g * 16).astype(np.uint16), "brightest value is 3,488 where white is 65,535"),
        (lambda g: (g * 400).astype(np.int32), "white is 2,147,483,647: all but black"),
    ],
)
def test_values_whose_white_is_not_known_are_refused(grey: np.ndarray, change: Any, reason: str) -> None:
    with pytest.raises(BrokenImage) as caught:
        open_picture(encoded_array(change(grey)))
    assert reason in str(caught.value)


def test_12_bits_of_a_colour_in_16_are_refused(scene: Image.Image) -> None:
    with pytest.raises(BrokenImage, match="where white is 65,535: all but black"):
        open_picture(png_of_16_bits(np.asarray(scene).astype(np.int64) * 16))


def retagged(content: bytes, tag: int, value: int, other: tuple[int, int]) -> bytes:
    """A little-endian TIFF in which the entry of a short tag is another tag and value."""
    entry = struct.pack("<HHIHH", tag, 3, 1, value, 0)
    assert content.count(entry) == 1
    return content.replace(entry, struct.pack("<HHIHH", other[0], 3, 1, other[1], 0))


def test_a_fourth_channel_that_need_not_be_transparency_is_refused(scene: Image.Image) -> None:
    infrared = scene.convert("RGBA")
    infrared.putalpha(scene.convert("L"))
    unknown = retagged(encoded(infrared, "TIFF"), 338, 2, (337, 2))
    with pytest.raises(BrokenImage, match="what its fourth channel is"):
        open_picture(unknown)
    opaque = retagged(encoded(scene.convert("RGBA"), "TIFF"), 338, 2, (337, 2))
    assert np.array_equal(seen(opaque), np.asarray(scene))


def test_bytes_with_a_sign_are_refused(scene: Image.Image) -> None:
    signed = encoded(scene.convert("L"), "TIFF", tiffinfo={339: 2})
    with pytest.raises(BrokenImage, match="have a sign"):
        open_picture(signed)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
def test_what_is_under_transparency_is_not_seen(kind: str) -> None:
    hidden = Image.new("RGBA", (8, 8), (255, 0, 255, 0))
    assert (seen(encoded(hidden, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))) == 255).all()


def test_half_transparent_and_grey_with_alpha_stand_on_white() -> None:
    assert seen(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "PNG"))[0, 0].tolist() == [127, 127, 127]
    assert seen(encoded(Image.new("LA", (2, 2), (0, 0)), "PNG"))[0, 0].tolist() == [255, 255, 255]


def test_a_transparent_colour_of_a_palette_or_of_grey_is_white(scene: Image.Image, grey: np.ndarray) -> None:
    palette = scene.quantize(4)
    first = palette.getpixel((0, 0))
    for content in (
        encoded(palette, "PNG", transparency=first),
        encoded(palette, "GIF", transparency=first),
        encoded(scene.convert("L"), "PNG", transparency=int(grey[0, 0])),
        encoded_array((grey * 257).astype(np.uint16), "PNG", transparency=int(grey[0, 0]) * 257),
    ):
        found = seen(content)
        assert found[0, 0].tolist() == [255, 255, 255]
        assert found[10, 10].tolist() != [255, 255, 255]


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_other_colour_spaces_come_out_as_rgb(scene: Image.Image, mode: str, kind: str) -> None:
    found = seen(encoded(scene.convert(mode), kind))
    assert np.abs(found - np.asarray(scene)).mean() < 8


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_of_several_pictures_is_shown(kind: str) -> None:
    first, second = Image.new("RGB", (8, 8), "black"), Image.new("RGB", (8, 8), "white")
    assert seen(encoded(first, kind, save_all=True, append_images=[second])).max() < 8


def test_a_damaged_picture_is_named(scene: Image.Image) -> None:
    whole = encoded(scene, "PNG")
    assert check_picture(whole) == "PNG"
    flipped = bytearray(whole)
    flipped[60] ^= 255
    for content in (whole[:-30], bytes(flipped)):
        with pytest.raises(BrokenImage, match="not a whole picture"):
            check_picture(content)


@pytest.mark.parametrize("read", [open_picture, seen_size])
def test_a_file_that_is_not_there_or_may_not_be_read_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Any
) -> None:
    with pytest.raises(BrokenImage, match="the file is missing"):
        read(tmp_path / "none.png")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BrokenImage, match="the file may not be read"):
        read(tmp_path / "none.png")


def test_what_is_no_picture_has_an_error_of_its_own() -> None:
    for read in (open_picture, check_picture):
        with pytest.raises(UnknownFormat, match="not a picture of a known format"):
            read(b"words")


def test_an_error_of_our_own_is_no_fault_of_the_picture(scene: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Image.Image) -> None:
        raise TypeError("ours")

    monkeypatch.setattr(pictures, "_on_white", fail)
    with pytest.raises(TypeError, match="ours"):
        open_picture(encoded(scene, "PNG"))


def test_only_one_module_opens_a_study_s_pictures() -> None:
    core = Path(__file__).parents[2] / "core"
    opening = {path.name for path in core.rglob("*.py") if "Image.open(" in path.read_text(encoding="utf-8")}
    # Beside it: sprites of the generated scenes, figures of our own, drawn and made small, and what a local chat model
    # is asked about: PNG of our own.
    assert opening == {"pictures.py", "scene_sprites.py", "writers.py", "answers.py", "local.py"}
