"""A transformers checkpoint opened for reading activations, once it is known to hold what its config.json says.

transformers' models are imported when one is opened, for workers that open none to start sooner.
"""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn

from core.errors import BadInput
from core.lm.abilities import refuse_unable
from core.lm.checkpoint import Checkpoint, listed, read_checkpoint, refuse_differences
from core.lm.loaded import LoadedModel, control_ids
from core.lm.processors import fault, read_processor, read_tokenizer
from core.lm.quiet import quiet
from core.lm.shape import ModelShape, read_shape
from core.lm.sites import block_list, vision_points
from core.lm.templates import template_notes
from core.lm.trial import try_model

# The last three: MPT, XGLM and BioGPT, ModernBERT's decoder.
_NORMS = ("norm", "final_layer_norm", "final_layernorm", "ln_f", "norm_f", "layer_norm", "final_norm")
# What transformers and torch raise where a value of config.json is of the wrong kind or makes no model.
_MISSHAPEN = (StrictDataclassError, TypeError, AttributeError, AssertionError, ArithmeticError, IndexError)
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_model(folder: Path, compute_dtype: str, device: str) -> LoadedModel:
    """Open the checkpoint in `folder`, never reaching for the network.

    Raises:
        BadInput: no checkpoint is there, its tensors are not those of the model that its config.json describes,
            transformers cannot read it, or the model lacks what reading it needs.
    """
    checkpoint = read_checkpoint(folder)
    shape = read_shape(folder)
    if compute_dtype not in _DTYPES:
        raise BadInput(f"model.compute_dtype: {compute_dtype!r} is not one of {', '.join(_DTYPES)}")
    model, untied = _read_model(folder, shape, _DTYPES[compute_dtype], checkpoint)
    model = model.to(torch.device(device)).eval().requires_grad_(False)
    processor = read_processor(folder, model.config) if shape.has_images else None
    tokenizer = processor.tokenizer if processor is not None else read_tokenizer(folder)
    refuse_unable(folder, model, tokenizer)
    _refuse_nonfinite(folder, model)
    base, text_model, blocks = _parts(model, shape, folder)
    lay_patches_in_rows(base, shape)
    loaded = LoadedModel(
        folder=folder,
        model=model,
        tokenizer=tokenizer,
        processor=processor,
        device=torch.device(device),
        dtype=_DTYPES[compute_dtype],
        shape=shape,
        base=base,
        text_model=text_model,
        blocks=blocks,
        final_norm=_find_norm(text_model, folder),
        unembedding=model.get_output_embeddings().weight.detach(),
        control_ids=control_ids(tokenizer),
        notes=(*checkpoint.notes, *untied, *template_notes(folder)),
    )
    found = try_model(loaded)
    lacks = filter(None, (found.unresumable, found.unwritable))
    return replace(loaded, **found._asdict(), notes=(*loaded.notes, *lacks))


def in_float32(loaded: LoadedModel) -> LoadedModel | None:
    """The checkpoint opened again in float32; null where it is in it already.

    Raises:
        BadInput: as `load_model`.
    """
    exact = loaded.dtype == torch.float32
    return None if exact else load_model(loaded.folder, "float32", str(loaded.device))


def lay_patches_in_rows(base: nn.Module, shape: ModelShape) -> None:
    """SigLIP's patches leave a convolution number by number, not patch by patch, and stay so from block to block: every
    norm then copies them, and every addition is slow (a fifth of gemma-3-4b-it's tower on an H200)."""
    with suppress(BadInput):  # a tower of another build, or none
        first = vision_points(base, "vision_post", shape.vision_layers)[0].module
        first.register_forward_pre_hook(
            lambda _module, inputs: (inputs[0].contiguous(), *inputs[1:]) if inputs else None
        )


def _read_model(
    folder: Path, shape: ModelShape, dtype: torch.dtype, checkpoint: Checkpoint
) -> tuple[Any, tuple[str, ...]]:
    """The model, once every tensor of the checkpoint has found its place, and what to say of it."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    kind = AutoModelForImageTextToText if shape.has_images else AutoModelForCausalLM
    own_names = {f"^{re.escape(stored)}$": own for stored, own in checkpoint.renamed.items()}
    try:
        with quiet():
            model, found = kind.from_pretrained(
                folder,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,  # unset, transformers asks on the terminal, and a `y` there runs it
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refused below, by name, with both shapes
                key_mapping=own_names or None,
            )
    except _MISSHAPEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(
            f"model {folder}: transformers cannot build what config.json describes ({reason}); correct the field"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise BadInput(f"model {folder}: transformers cannot load it ({fault(error)})") from error
    _refuse_twice(folder, model, checkpoint)
    refuse_differences(str(folder), found["missing_keys"], found["unexpected_keys"], list(found["mismatched_keys"]))
    return model, _untied(model)


def _refuse_twice(folder: Path, model: Any, checkpoint: Checkpoint) -> None:
    """Two stored names that transformers takes for one tensor: it would use either, and say nothing."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming, rename_source_key

    renamings = [one for one in get_model_conversion_mapping(model) if isinstance(one, WeightRenaming)]
    expected = model.state_dict()
    owners: dict[str, str] = {}
    for stored in checkpoint.names:
        own = checkpoint.renamed.get(stored, stored)
        own, _ = rename_source_key(own, renamings, [], model.base_model_prefix, expected)
        if own in expected and owners.setdefault(own, stored) != stored:
            raise BadInput(f"model {folder}: {owners[own]} and {stored} are one tensor's names; keep the right one")


def _refuse_nonfinite(folder: Path, model: nn.Module) -> None:
    """A sum is 20 times as fast as looking at each number, and one NaN or Inf spoils it."""
    spoilt = [name for name, weight in model.named_parameters() if not weight.sum(dtype=torch.float32).isfinite()]
    wrong = [name for name in spoilt if not model.get_parameter(name).isfinite().all()]
    if wrong:
        raise BadInput(f"model {folder}: NaN or Inf among the weights ({listed(wrong)}); download it again")


def _untied(model: Any) -> tuple[str, ...]:
    """Whether the checkpoint has a head of its own although its config.json says that the embeddings serve as one."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = getattr(model.config, "tie_word_embeddings", False)
    if not tied or head is None or embeddings is None or head.weight is embeddings.weight:
        return ()
    return (
        "config.json ties the vocabulary head to the embeddings, but the files hold both and they differ: each is "
        "used as it is stored",
    )


def _parts(model: Any, shape: ModelShape, folder: Path) -> tuple[nn.Module, nn.Module, nn.ModuleList]:
    """The model without its vocabulary head, the decoder in it, and the decoder's blocks.

    transformers takes all of Llama 4's text model for the first, and the head of ModernBERT's decoder for the second.
    """
    within = (model.base_model, getattr(model, "model", None))
    base = next((part for part in within if isinstance(part, nn.Module) and part is not model), None)
    for part in (model.get_decoder(), base):
        blocks = None if part in (None, model) else block_list(part, shape.num_layers)
        if base is not None and part is not None and blocks is not None:
            return base, part, blocks
    raise BadInput(f"model {folder}: its decoder has no list of {shape.num_layers} blocks")


def _find_norm(text_model: nn.Module, folder: Path) -> nn.Module:
    for name in _NORMS:
        norm = getattr(text_model, name, None)
        if isinstance(norm, nn.Module):
            return norm
    raise BadInput(f"model {folder}: its decoder has no final norm (looked for {', '.join(_NORMS)})")
