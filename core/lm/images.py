"""Images as the vision tower takes them."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from core.errors import BadInput
from core.lm.loaded import LoadedModel
from core.pictures import BrokenImage, open_picture

Picture = Mapping[str, Tensor]
"""One image as its processor gives it: `pixel_values` [1, 3, H, W]; or where each image has a grid of its own, as in
Qwen2-VL, `pixel_values` [patches, numbers per patch] and `image_grid_thw` [1, 3]."""
GRID = "image_grid_thw"
_COUNTED: dict[tuple[str, str, int], int] = {}
_MOST_READERS = 8
"""With 8 threads an image of 896 pixels took 10 ms on a machine with an H200 (alone 56, with 16 threads 8), and the
model 22."""


def read_pictures(loaded: LoadedModel, images: Sequence[Path]) -> list[Picture]:
    """The images as a person sees them, resized and normalised by the model's own processor.

    Raises:
        BadInput: a file is missing, is no image, or is cut into several crops; or the model takes none.
    """
    if loaded.processor is None:
        raise BadInput(f"model {loaded.folder}: takes no images; use a study of text only, or another model")
    once = dict.fromkeys(images)  # PaliGemma's captions each bring their image along
    found = {path: _taken(loaded, path) if path in loaded.coming else _read(loaded, path) for path in once}
    return [found[path] for path in images]


def read_ahead(loaded: LoadedModel, images: Iterable[Path]) -> None:
    """Have threads read the images that `read_pictures` is asked for next, and forget others that were begun."""
    wanted = dict.fromkeys(images)
    for path in [path for path in loaded.coming if path not in wanted]:
        loaded.coming.pop(path).cancel()
    for path in wanted:
        if path not in loaded.coming:
            loaded.coming[path] = _readers().submit(_read_beside, loaded, path)


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(_MOST_READERS, torch.get_num_threads()), "images")


@cache
def _beside(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _read_beside(loaded: LoadedModel, path: Path) -> Picture:
    """Read an image and send it to a GPU on a stream beside the model's, on which it would wait for the passes."""
    if loaded.device.type != "cuda":
        return _read(loaded, path)
    stream = _beside(loaded.device)
    with torch.cuda.stream(stream):
        picture = _read(loaded, path)
        stream.synchronize()
    return picture


def _taken(loaded: LoadedModel, path: Path) -> Picture:
    picture: Picture = loaded.coming.pop(path).result()
    for tensor in picture.values():
        if tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream(tensor.device))
    return picture


def together(pictures: Sequence[Picture]) -> Picture:
    """The pictures as one argument of the model's forward each: images side by side, or their patches in one row."""
    return {name: torch.cat([picture[name] for picture in pictures]) for name in (pictures[0] if pictures else ())}


def image_tokens(loaded: LoadedModel, image: Path) -> int:
    """How many soft tokens stand for an image in the prompt.

    Raises:
        BadInput: neither config.json nor the image's grid says it, or the image cannot be read.
    """
    if loaded.shape.image_tokens:
        return loaded.shape.image_tokens
    key = (str(loaded.folder), str(image), image.stat().st_mtime_ns if image.is_file() else 0)
    if key not in _COUNTED:  # every caption of an image asks again
        (picture,) = read_pictures(loaded, [image])
        if GRID not in picture:
            raise BadInput(f"model {loaded.folder}: config.json names no number of image tokens (image_seq_length)")
        processor: Any = loaded.processor
        _COUNTED[key] = int(picture[GRID].prod()) // processor.image_processor.merge_size**2
    return _COUNTED[key]


def _read(loaded: LoadedModel, path: Path) -> Picture:
    processor: Any = loaded.processor
    image = _open(path)
    try:
        made = processor.image_processor([image], return_tensors="pt")
    except ValueError as error:  # Qwen2-VL's, of an image 200 times as wide as high
        raise BadInput(f"image {path}: the model's processor refuses it ({error}); drop the sample") from error
    pixels: Tensor = made["pixel_values"]
    if GRID not in made and (pixels.ndim != 4 or len(pixels) != 1):
        raise BadInput(
            f"image {path}: the processor of {loaded.folder} cuts it into crops ({list(pixels.shape)}), which are not "
            "read here; turn them off in its settings (such as do_pan_and_scan)"
        )
    picture = {"pixel_values": pixels.to(device=loaded.device, dtype=loaded.dtype)}
    return {**picture, GRID: made[GRID].to(loaded.device)} if GRID in made else picture


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        raise BadInput(f"image {path}: no such file")
    try:
        return open_picture(path)
    except BrokenImage as error:
        raise BadInput(f"image {path}: cannot be read ({error}); replace the file or drop the sample") from error
