"""A checkpoint's shape and weight files, read from its folder without loading torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BadInput

_LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
_WIDTH = ("hidden_size", "n_embd", "d_model")
_IMAGE_TOKENS = ("mm_tokens_per_image", "image_seq_length")
# Published checkpoints leave out what equals the class's default; gemma-3-4b-it names neither of these.
_DEFAULT_VOCAB = {"gemma3": 262208, "gemma3_text": 262208}
_DEFAULT_IMAGE_TOKENS = {"gemma3": 256}


@dataclass(frozen=True)
class ModelShape:
    """What must be known of a model to plan its capture: L layers, D dimensions, image tokens, V tokens.

    `vision_layers`, `vision_width` and `patches` (of an image) are the vision tower's, 0 where config.json does not
    state them.
    """

    num_layers: int
    d_model: int
    has_images: bool
    image_tokens: int
    vocab_size: int
    model_type: str
    vision_layers: int = 0
    vision_width: int = 0
    patches: int = 0


def read_shape(folder: Path) -> ModelShape:
    """The shape that `folder/config.json` states.

    Raises:
        BadInput: the file is missing, is no JSON, or names no layers or width.
    """
    config = _read_json(folder / "config.json", "config.json", folder)
    text: Mapping[str, Any] = config.get("text_config") or config
    vision: Mapping[str, Any] = config.get("vision_config") or {}
    model_type = str(config.get("model_type", ""))
    has_images = "vision_config" in config
    image_tokens = _first(config, _IMAGE_TOKENS) or _DEFAULT_IMAGE_TOKENS.get(model_type, 0)
    return ModelShape(
        num_layers=_required(text, _LAYERS, folder),
        d_model=_required(text, _WIDTH, folder),
        has_images=has_images,
        image_tokens=image_tokens if has_images else 0,
        vocab_size=_first(text, ("vocab_size",)) or _DEFAULT_VOCAB.get(model_type, 0),
        model_type=model_type,
        vision_layers=_first(vision, _LAYERS) or 0,
        vision_width=_first(vision, _WIDTH) or 0,
        patches=_patches(vision),
    )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold the weights, in order of name.

    Raises:
        BadInput: there are none, or the index names files that are not there.
    """
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise BadInput(f"model {folder}: no weights (*.safetensors) there; finish the download or mend model.path")
        return files
    names = sorted(set(_read_json(index, index.name, folder).get("weight_map", {}).values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing or not names:
        what = f"{len(missing)} of {len(names)} weight files are missing ({', '.join(missing[:3])})"
        raise BadInput(f"model {folder}: {what}; finish the download")
    return [folder / name for name in names]


def _read_json(path: Path, name: str, folder: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"model {folder}: no {name} there; model.path must be a transformers checkpoint") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"model {folder}: {name} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise BadInput(f"model {folder}: {name} holds no JSON object")
    return content


def _patches(vision: Mapping[str, Any]) -> int:
    side, patch = vision.get("image_size"), vision.get("patch_size")
    return (side // patch) ** 2 if isinstance(side, int) and isinstance(patch, int) else 0


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((int(config[name]) for name in names if config.get(name) is not None), None)


def _required(config: Mapping[str, Any], names: tuple[str, ...], folder: Path) -> int:
    value = _first(config, names)
    if value is None:
        raise BadInput(f"model {folder}: config.json names none of {', '.join(names)}")
    return value
