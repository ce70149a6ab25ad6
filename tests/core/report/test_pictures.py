import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.report.pictures import LARGEST, Picture, Pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (96, 96), "#3366cc").save(tmp_path / "small.png")
    noise = np.random.default_rng(0).integers(0, 255, (600, 900, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    return tmp_path


def pixels(picture: Picture | None) -> np.ndarray:
    assert picture is not None
    return np.asarray(Image.open(io.BytesIO(picture.content)).convert("RGB"), dtype=int)


def test_a_large_picture_is_made_small_and_a_small_one_stays(folder: Path) -> None:
    photo, small = Pictures(folder).thumbnail("photo.png"), Pictures(folder).thumbnail("small.png")
    assert photo is not None and small is not None
    assert max(photo.width, photo.height) == LARGEST and photo.suffix == "jpg"
    assert small.width == 96 and small.suffix == "png"


def test_a_map_is_hot_where_the_grid_is_large(folder: Path) -> None:
    grid = [0.0] * 12 + [0.0, 0.0, 0.0, 5.0]
    marks = pixels(Pictures(folder).overlay("small.png", grid))
    corner, opposite = marks[-5, -5], marks[5, 5]
    assert corner[0] > corner[2] + 60 and opposite[2] > opposite[0]


def test_the_picture_is_untouched_where_the_map_is_nothing(folder: Path) -> None:
    grid = [0.0] * 12 + [0.0, 0.0, 0.0, 5.0]
    own, marked = (
        pixels(Pictures(folder).overlay("small.png", [0.0] * 16)),
        pixels(Pictures(folder).overlay("small.png", grid)),
    )
    half = own.shape[0] // 2
    assert np.array_equal(own[:half], marked[:half]) and not np.array_equal(own[half:], marked[half:])


def test_a_map_of_nothing_or_nan_is_drawn_cold(folder: Path) -> None:
    cold = pixels(Pictures(folder).overlay("small.png", [0.0] * 4))
    assert np.array_equal(pixels(Pictures(folder).overlay("small.png", [float("nan"), -1.0, 0.0, 0.0])), cold)


@pytest.mark.parametrize("name", ["missing.png", "broken.png", "", None])
def test_what_cannot_be_read_is_left_out(folder: Path, name: str | None) -> None:
    assert Pictures(folder).thumbnail(name) is None
    assert Pictures(folder).overlay(name, [1.0] * 4) is None
    assert Pictures(None).thumbnail("small.png") is None


def test_a_grid_that_is_no_square_has_no_map(folder: Path) -> None:
    assert Pictures(folder).overlay("small.png", [1.0] * 5) is None


def test_a_thumbnail_is_upright_and_shows_16_bits(folder: Path) -> None:
    scene = Image.linear_gradient("L").resize((60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    scene.transpose(Image.Transpose.ROTATE_90).save(folder / "sideways.png", exif=exif)
    Image.fromarray(np.asarray(scene).astype(np.uint16) * 257).save(folder / "deep.png")
    expected = np.asarray(scene.convert("RGB"), dtype=int)
    for name in ("sideways.png", "deep.png"):
        assert np.array_equal(pixels(Pictures(folder).thumbnail(name)), expected)
    marked = Pictures(folder).overlay("sideways.png", [1.0, 0.0, 0.0, 0.0])
    assert marked is not None and marked.width > marked.height
