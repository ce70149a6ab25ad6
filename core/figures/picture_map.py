"""A map of activations drawn over its picture."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image

_HEAT = np.array([192, 58, 43], dtype=np.float32)
_LEAST_SIDE = 192


def heated(image: Image.Image, values: Sequence[float]) -> Image.Image | None:
    """The picture as it is, under heat where the square grid of `values` (row by row) is large; null where they are no
    square. It is meant to stand beside the original, which tells the picture's own red from heat."""
    alpha = _strength(image := enlarged(image), values)
    if alpha is None:
        return None
    own = np.asarray(image.convert("RGB"), dtype=np.float32)
    return Image.fromarray((own * (1 - 0.75 * alpha) + _HEAT * 0.75 * alpha).round().astype(np.uint8))


def with_map(image: Image.Image, values: Sequence[float]) -> Image.Image | None:
    """Heat where the square grid of `values` (row by row) is large; null where they are no square.

    The picture pales elsewhere, so that its own colours are not read as heat; a small one is enlarged.
    """
    alpha = _strength(image := enlarged(image), values)
    if alpha is None:
        return None
    grey = np.asarray(image.convert("L"), dtype=np.float32)[..., None].repeat(3, axis=2)
    pale = 0.55 * (0.6 * grey + 0.4 * np.asarray(image, dtype=np.float32)) + 0.45 * 255
    return Image.fromarray((pale * (1 - 0.85 * alpha) + _HEAT * 0.85 * alpha).round().astype(np.uint8))


def _strength(image: Image.Image, values: Sequence[float]) -> Float[np.ndarray, "height width 1"] | None:
    """How strong the heat is at each pixel, 0 to 1; null where the values are no square."""
    side = math.isqrt(len(values))
    if side == 0 or side * side != len(values):
        return None
    grid = np.asarray(values, dtype=np.float32).reshape(side, side)
    positive = np.nan_to_num(grid, nan=0.0, posinf=0.0, neginf=0.0).clip(min=0)
    strength = positive / positive.max() if positive.max() > 0 else positive
    smooth = Image.fromarray(strength).resize(image.size, Image.Resampling.BILINEAR)
    return np.asarray(smooth).clip(0, 1)[..., None]


def enlarged(image: Image.Image) -> Image.Image:
    """The picture, by a whole factor larger where its longer side is far below 192 pixels."""
    scale = max(1, round(_LEAST_SIDE / max(image.size)))
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
