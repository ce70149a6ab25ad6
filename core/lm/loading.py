"""A transformers checkpoint opened for reading activations: its parts found by structure, not by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer
from transformers.utils import logging

from core.errors import BadInput
from core.lm.shape import ModelShape, read_shape, weight_files
from core.lm.sites import Point, block_list, points, vision_points, width
from core.study.sites import VISION, Site, extent

_NORMS = ("norm", "final_layer_norm", "final_layernorm", "ln_f")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for reading: in evaluation mode, without gradients, on one device.

    `base` is the model without its vocabulary head (vision tower included); `text_model` is the decoder within it
    that holds the `blocks`. `processor` is null for a model of text only. `control_ids` are tokens that steer the model
    and stand for no text: BOS, turns, image markers, padding.
    """

    folder: Path
    model: nn.Module
    tokenizer: Any
    processor: Any | None
    device: torch.device
    dtype: torch.dtype
    shape: ModelShape
    base: nn.Module
    text_model: nn.Module
    blocks: nn.ModuleList
    final_norm: nn.Module
    unembedding: Float[Tensor, "V D"]
    control_ids: frozenset[int]

    def points(self, site: Site) -> Sequence[Point]:
        """Where `site` is read in each layer.

        Raises:
            BadInput: the blocks have no such part, or the model no vision tower or projector.
        """
        if site in VISION:
            return vision_points(self.base, site, self.shape.vision_layers)
        return points(self.blocks, site)

    def width(self, site: Site) -> int:
        """Numbers a row of `site`."""
        if site in VISION:
            return extent(self.shape, site).width
        return width(self.blocks, site, self.shape.d_model)

    @property
    def text_config(self) -> Any:
        """The decoder's configuration: window, layer types, soft-capping."""
        return self.text_model.config

    @property
    def image_token_id(self) -> int | None:
        """Id of the token that stands for one soft token of the image; null for a model of text only."""
        config: Any = self.model.config
        token = getattr(config, "image_token_id", None)
        return int(token) if token is not None and self.shape.has_images else None


def load_model(folder: Path, compute_dtype: str, device: str) -> LoadedModel:
    """Open the checkpoint in `folder`, never reaching for the network.

    Raises:
        BadInput: no checkpoint is there, it lacks weights, or transformers cannot read it.
    """
    shape = read_shape(folder)
    weight_files(folder)
    if compute_dtype not in _DTYPES:
        raise BadInput(f"model.compute_dtype: {compute_dtype!r} is not one of {', '.join(_DTYPES)}")
    model = _read_model(folder, shape, _DTYPES[compute_dtype]).to(torch.device(device)).eval().requires_grad_(False)
    processor = _read_processor(folder) if shape.has_images else None
    tokenizer = processor.tokenizer if processor is not None else _read_tokenizer(folder)
    text_model = model.get_decoder()
    return LoadedModel(
        folder=folder,
        model=model,
        tokenizer=tokenizer,
        processor=processor,
        device=torch.device(device),
        dtype=_DTYPES[compute_dtype],
        shape=shape,
        base=model.base_model,
        text_model=text_model,
        blocks=_find_blocks(text_model, shape, folder),
        final_norm=_find_norm(text_model, folder),
        unembedding=model.get_output_embeddings().weight.detach(),
        control_ids=control_ids(tokenizer),
    )


def in_float32(loaded: LoadedModel) -> LoadedModel | None:
    """The checkpoint opened again in float32; null where it is in it already."""
    exact = loaded.dtype == torch.float32
    return None if exact else load_model(loaded.folder, "float32", str(loaded.device))


def _read_model(folder: Path, shape: ModelShape, dtype: torch.dtype) -> Any:
    kind = AutoModelForImageTextToText if shape.has_images else AutoModelForCausalLM
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return kind.from_pretrained(folder, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise BadInput(f"model {folder}: transformers cannot load it ({_first_line(error)})") from error
    finally:
        if bars:
            logging.enable_progress_bar()


def _read_processor(folder: Path) -> Any:
    try:
        # The torchvision backend resizes slightly differently, and is not installed everywhere.
        return AutoProcessor.from_pretrained(folder, local_files_only=True, backend="pil")
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise BadInput(f"model {folder}: its processor cannot be loaded ({_first_line(error)})") from error


def _read_tokenizer(folder: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise BadInput(f"model {folder}: its tokenizer cannot be loaded ({_first_line(error)})") from error


def _find_blocks(text_model: nn.Module, shape: ModelShape, folder: Path) -> nn.ModuleList:
    blocks = block_list(text_model, shape.num_layers)
    if blocks is None:
        raise BadInput(f"model {folder}: its decoder has no list of {shape.num_layers} blocks")
    return blocks


def _find_norm(text_model: nn.Module, folder: Path) -> nn.Module:
    for name in _NORMS:
        norm = getattr(text_model, name, None)
        if isinstance(norm, nn.Module):
            return norm
    raise BadInput(f"model {folder}: its decoder has no final norm (looked for {', '.join(_NORMS)})")


def control_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that steer the model and stand for no text."""
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
