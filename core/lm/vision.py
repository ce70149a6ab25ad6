"""Images run through the vision tower and the projector alone: no caption, no decoder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import BadInput
from core.lm.hooks import Reading, capture
from core.lm.images import read_pictures, together
from core.lm.loaded import LoadedModel
from core.lm.prefix import States
from core.study.sites import Site


@dataclass(frozen=True)
class ImageRows:
    """What each image gives at a site: the names of its P rows, in order, and which of them stand for no place in it.

    `cost` is how many tokens of a pass an image takes: its patches, though the projector may give fewer.
    """

    names: tuple[str, ...]
    special: tuple[bool, ...]
    cost: int


@torch.inference_mode()
def encode_images(loaded: LoadedModel, images: Sequence[Path], reading: Reading) -> States:
    """Run the images up to the last layer asked for.

    Returns:
        What the reading keeps of each layer, [B, P, D], which is as in transformers' own `get_image_features`.

    Raises:
        BadInput: the model takes no images or has no such part, an image cannot be read, or images give unequal rows.
    """
    encode = getattr(loaded.base, "get_image_features", None)
    if loaded.processor is None or encode is None:
        raise BadInput(
            f"capture.site: model {loaded.folder} takes no images to read {reading.site} of; capture resid_post"
        )
    pictures = together(read_pictures(loaded, images))

    def keep(layer: int, state: Tensor) -> Tensor:
        if state.ndim != 3 or len(state) != len(images):
            raise BadInput(
                f"capture.site: layer {layer} of {reading.site} gives {list(state.shape)} for {len(images)} images; "
                "a model whose images have unequally many patches cannot be read there"
            )
        return reading.keep(layer, state)

    with capture(loaded.points(reading.site), reading.layers, keep) as states:
        encode(**pictures)
    return states


def image_rows(loaded: LoadedModel, image: Path, site: Site) -> ImageRows:
    """What one image gives, found by running it up to the first layer.

    Rows are named by row and column where their grid is known; a class token (CLIP's) that stands before the patches
    is special.

    Raises:
        BadInput: as `encode_images`.
    """
    count = encode_images(loaded, [image], Reading([0], site))[0].shape[1]
    grid = _patches(loaded, image)
    if grid is None:
        return ImageRows(_numbered(_KINDS[site], count), (False,) * count, count)
    height, width = grid
    if site == "projector":
        return ImageRows(_soft_tokens(count, height, width), (False,) * count, max(count, height * width))
    extra = count - height * width
    if extra < 0:  # a tower that merges patches on its way
        return ImageRows(_numbered("patch", count), (False,) * count, height * width)
    leading = ("[CLS]",) if extra == 1 else _numbered("extra", extra)
    return ImageRows((*leading, *_gridded("patch", height, width)), (True,) * extra + (False,) * (count - extra), count)


_KINDS = {"vision_post": "patch", "projector": "soft token"}


def _patches(loaded: LoadedModel, image: Path) -> tuple[int, int] | None:
    """Rows and columns of patches that the tower cuts an image into; null where its configuration does not tell."""
    config: Any = loaded.model.config
    size = getattr(config.vision_config, "patch_size", None)
    if not isinstance(size, int):
        return None
    height, width = read_pictures(loaded, [image])[0]["pixel_values"].shape[-2:]
    return height // size, width // size


def _soft_tokens(count: int, height: int, width: int) -> tuple[str, ...]:
    """A projector keeps the patches, or pools equal squares of them (Gemma 3); anything else has no known grid."""
    side = math.isqrt(count)
    if count == height * width:
        return _gridded("soft token", height, width)
    if side**2 == count and height == width and height % side == 0:
        return _gridded("soft token", side, side)
    return _numbered("soft token", count)


def _gridded(kind: str, height: int, width: int) -> tuple[str, ...]:
    return tuple(f"[{kind} {row},{column}]" for row in range(height) for column in range(width))


def _numbered(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"[{kind} {number}]" for number in range(count))
