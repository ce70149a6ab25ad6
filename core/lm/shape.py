"""A checkpoint's shape and weight files, read from its folder without loading torch."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BadInput
from core.lm.hub import hub_name

_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_WIDTH = ("hidden_size", "n_embd", "n_embed", "d_model")
_IMAGE_TOKENS = ("mm_tokens_per_image", "image_seq_length")
# Published checkpoints leave out what equals the class's default; gemma-3-4b-it names neither of these.
_DEFAULT_VOCAB = {"gemma3": 262208, "gemma3_text": 262208}
_DEFAULT_IMAGE_TOKENS = {"gemma3": 256, "llava": 576, "paligemma": 256}
_SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_SHARD = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.safetensors$")
KIND = "model_type:"
"""Begins the name that a model has by its kind alone."""
_SAYS_NOTHING = re.compile(
    r"^(?:(?:model|checkpoint|ckpt|weights|snapshot|final|best|last|latest|merged|output|hf|step|epoch)s?[-_.]?\d*"
    r"|[0-9a-f]{12,64}|\d*)$"
)
# One of each group must be there.
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
_PROCESSOR = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True)
class ModelShape:
    """What must be known of a model to plan its capture: L layers, D dimensions, image tokens, V tokens.

    `image_tokens` is 0 where each image has its own number of them (Qwen2-VL). `vision_layers`, `vision_width` and
    `patches` (of an image) are the vision tower's, 0 where config.json does not state them.
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
        BadInput: the file is missing or no JSON, names no layers or width, has a field of the wrong kind, or describes
            an encoder-decoder or quantised weights.
    """
    config = _read_json(folder / "config.json", "config.json", folder)
    _refuse_misshapen(config, folder)
    _refuse_unread(config, folder)
    text, vision = config.get("text_config") or config, config.get("vision_config") or {}
    model_type = str(config.get("model_type", ""))
    has_images = "vision_config" in config
    image_tokens = (
        _first(config, _IMAGE_TOKENS, folder)
        or _first(vision, ("num_image_tokens",), folder)
        or _patches_seen(config, folder)
    )
    return ModelShape(
        num_layers=_required(text, _LAYERS, folder),
        d_model=_required(text, _WIDTH, folder),
        has_images=has_images,
        image_tokens=image_tokens if has_images else 0,
        vocab_size=_first(text, ("vocab_size",), folder) or _DEFAULT_VOCAB.get(model_type, 0),
        model_type=model_type,
        vision_layers=_first(vision, _LAYERS, folder) or 0,
        vision_width=_first(vision, _WIDTH, folder) or 0,
        patches=_patches(vision, folder),
    )


def model_names(folder: Path) -> list[str]:
    """What a checkpoint in `folder` is called: by the hub's cache, else its folder.

    Only where that says nothing (`model`, `checkpoint-500`) what config.json was made from counts too, else its kind:
    many models are of one kind. The last name is `KIND` and that kind, for the SAEs trained here.

    Raises:
        BadInput: config.json is missing or no JSON object.
    """
    config = _read_json(folder / "config.json", "config.json", folder)
    called, kind = hub_name(folder), config.get("model_type")
    kinds = [KIND + kind] if isinstance(kind, str) else []
    if called or not _SAYS_NOTHING.match(folder.name.lower()):
        return [called or folder.name, *kinds]
    names = (folder.name, config.get("_name_or_path") or kind)
    return [*(name for name in names if isinstance(name, str) and name), *kinds]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers reads the weights from, in order of name.

    Raises:
        BadInput: there are none, the index names files that are not there, two sets of weights lie side by side, or
            an adapter (PEFT) does.
    """
    if (folder / "adapter_config.json").is_file():
        raise BadInput(
            f"model {folder}: adapter_config.json makes it an adapter (PEFT), which is not read here; save the merged "
            "model (`merge_and_unload()`, then `save_pretrained`) and name its folder"
        )
    single, index = folder / _SINGLE, folder / INDEX
    if single.is_file() and index.is_file():
        raise BadInput(f"model {folder}: {_SINGLE} and {INDEX} are both there; remove the one that is out of date")
    if single.is_file():
        return [single]
    if not index.is_file():
        others = ", ".join(path.name for path in sorted(folder.glob("*.safetensors"))[:3])
        what = f"no {_SINGLE}, and no {INDEX} beside {others}" if others else "no weights (*.safetensors) there"
        raise BadInput(f"model {folder}: {what}; finish the download or correct model.path")
    names = sorted(set(indexed_tensors(folder).values()))
    if not names:
        raise BadInput(f"model {folder}: {INDEX}: weight_map names no tensor; finish the download")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        what = f"{len(missing)} of {len(names)} weight files are missing ({', '.join(missing[:3])})"
        raise BadInput(f"model {folder}: {what}; finish the download")
    return [folder / name for name in names]


def indexed_tensors(folder: Path) -> dict[str, str]:
    """The file that the index of several weight files names for each tensor; empty without an index.

    Raises:
        BadInput: the index cannot be read or maps no tensors.
    """
    if not (folder / INDEX).is_file():
        return {}
    named = _read_json(folder / INDEX, INDEX, folder).get("weight_map", {})
    if not isinstance(named, dict) or not all(isinstance(file, str) for file in named.values()):
        raise BadInput(f"model {folder}: {INDEX}: weight_map must give each tensor's file; finish the download")
    return named


def _refuse_misshapen(config: Mapping[str, Any], folder: Path) -> None:
    """Fields of another kind than every checkpoint has them of."""
    for field in ("text_config", "vision_config"):
        if not isinstance(config.get(field) or {}, dict):
            raise BadInput(f"model {folder}: config.json: {field} is {config[field]!r}, not an object; correct it")
    if not isinstance(config.get("model_type", ""), str):
        raise BadInput(f"model {folder}: config.json: model_type is {config['model_type']!r}, not a name; correct it")


def _refuse_unread(config: Mapping[str, Any], folder: Path) -> None:
    """Encoder-decoders, and weights that would be read from elsewhere or are rounded to a few bits."""
    if config.get("is_encoder_decoder"):
        raise BadInput(
            f"model {folder}: an encoder-decoder ({config.get('model_type')}) keeps image and prompt apart from the "
            "caption, which is not read here; take a decoder"
        )
    text: Mapping[str, Any] = config.get("text_config") or {}
    for part in (config, text):
        for field in ("quantization_config", "compression_config"):
            if stated := part.get(field):
                method = stated.get("quant_method") if isinstance(stated, dict) else stated
                raise BadInput(
                    f"model {folder}: its weights are quantised (config.json: {field}, {method}), which is not read "
                    "here; take the checkpoint that is not, or save it dequantised"
                )
    if config.get("transformers_weights"):
        raise BadInput(
            f"model {folder}: config.json: transformers_weights names {config['transformers_weights']!r}; rename that "
            f"file to {_SINGLE} (or its index to {INDEX}) and remove the field"
        )


def missing_files(folder: Path) -> list[str]:
    """What a checkpoint's folder lacks before a model can be opened from it: configuration, weights, tokenizer and,
    where it sees images, their processor. Other files of its repository are not needed.

    Raises:
        BadInput: a file is damaged.
    """
    if not (folder / "config.json").is_file():
        return ["config.json"]
    config = _read_json(folder / "config.json", "config.json", folder)
    groups = [_TOKENIZER, *([_PROCESSOR] if "vision_config" in config else [])]
    absent = [names[0] for names in groups if not any((folder / name).is_file() for name in names)]
    return [*_missing_weights(folder), *absent]


def _missing_weights(folder: Path) -> list[str]:
    if (folder / _SINGLE).is_file():
        return []
    if (folder / INDEX).is_file():
        return [name for name in sorted(set(indexed_tensors(folder).values())) if not (folder / name).is_file()]
    return [INDEX] if any(_SHARD.match(path.name) for path in folder.glob("*.safetensors")) else [_SINGLE]


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


def _patches_seen(config: Mapping[str, Any], folder: Path) -> int:
    """Image tokens where config.json names no number: the class's own default, or PaliGemma's one for each patch."""
    model_type, vision = str(config.get("model_type", "")), config.get("vision_config") or {}
    patches = _patches(vision, folder) if model_type == "paligemma" else 0
    return patches or _DEFAULT_IMAGE_TOKENS.get(model_type, 0)


def _patches(vision: Mapping[str, Any], folder: Path) -> int:
    if isinstance(vision.get("image_size"), list) or isinstance(vision.get("patch_size"), list):  # height and width
        return 0
    side, patch = _first(vision, ("image_size",), folder), _first(vision, ("patch_size",), folder)
    return (side // patch) ** 2 if side and patch else 0


def _first(config: Mapping[str, Any], names: tuple[str, ...], folder: Path) -> int | None:
    name = next((name for name in names if config.get(name) is not None), None)
    if name is None:
        return None
    value = config[name]
    whole = isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    if not whole or value < 1:
        raise BadInput(f"model {folder}: config.json: {name} is {value!r}, not a whole number from 1; correct it")
    return int(value)


def _required(config: Mapping[str, Any], names: tuple[str, ...], folder: Path) -> int:
    value = _first(config, names, folder)
    if value is None:
        kind = config.get("model_type")
        raise BadInput(f"model {folder}: config.json (model_type {kind!r}) names none of {', '.join(names)}")
    return value
