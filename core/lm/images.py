"""Images as the vision tower takes them."""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from core.errors import BadInput
from core.lm.loading import LoadedModel


def pixel_values(loaded: LoadedModel, images: Sequence[Path]) -> Float[Tensor, "B 3 H W"]:
    """The images, resized and normalised by the model's own processor, one crop each.

    Raises:
        BadInput: a file is missing or is no image; or the model takes none.
    """
    if loaded.processor is None:
        raise BadInput(f"model {loaded.folder}: takes no images; use a study of text only, or another model")
    pictures = [_open(path) for path in images]
    pixels: Tensor = loaded.processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
    return pixels.to(device=loaded.device, dtype=loaded.dtype)


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError as error:
        raise BadInput(f"image {path}: no such file") from error
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise BadInput(f"image {path}: cannot be read ({error}); replace the file or drop the sample") from error
