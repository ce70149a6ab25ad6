"""Autoencoders on disk, in the layout of SAELens: cfg.json beside sae_weights.safetensors, readable there unchanged."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import BadInput
from core.sae.architectures import TopKSAE

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"
SPARSITY = "sparsity.safetensors"
SAE_LENS_VERSION = "6.54.12"
"""The SAELens that these files were last read back with (benchmarks/saelens_roundtrip.py)."""
_SILENT = 1e-10


@dataclass(frozen=True)
class Origin:
    """Where an autoencoder's rows came from; written into cfg.json for whoever loads it elsewhere.

    `model` and `dataset` are names, not paths; `hook` is the transformers module whose output was read, without
    which the layer's usual place is named.
    """

    model: str
    layer: int
    dataset: str = ""
    hook: str | None = None
    context_size: int = 128


def save_sae(sae: TopKSAE, folder: Path, origin: Origin, firing_rate: Float[Tensor, " F"] | None = None) -> None:
    """Write the autoencoder into `folder`; `firing_rate` is kept as SAELens keeps it, log10.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _save({name: tensor.detach() for name, tensor in sae.named_parameters()}, folder / WEIGHTS)
    if firing_rate is not None:
        _save({"sparsity": torch.log10(firing_rate.float() + _SILENT)}, folder / SPARSITY)
    config = json.dumps(_config(sae, origin), indent=1, ensure_ascii=False)
    (folder / CONFIG).write_text(config + "\n", encoding="utf-8")


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written ({error})") from error


def _config(sae: TopKSAE, origin: Origin) -> dict[str, Any]:
    return {
        "architecture": "topk",
        "d_in": sae.d_model,
        "d_sae": sae.num_features,
        "k": sae.k,
        "rescale_acts_by_decoder_norm": False,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "model_name": origin.model,
            "hook_name": f"blocks.{origin.layer}.hook_resid_post",
            "hf_hook_name": origin.hook or f"model.layers.{origin.layer}",
            "prepend_bos": True,
            "context_size": origin.context_size,
            "dataset_path": origin.dataset,
            "neuronpedia_id": None,
            "sae_lens_version": SAE_LENS_VERSION,
        },
    }


def load_sae(folder: Path) -> TopKSAE:
    """Read a TopK autoencoder in SAELens' layout, on the CPU in float32, ready for inference.

    One that scales its activations by decoder norms, or leaves b_dec out of its input, is rewritten into an equal one
    that does not.

    Raises:
        BadInput: a file or key is missing, a shape does not fit, or it is no TopK autoencoder on raw activations.
    """
    config = _read_config(folder / CONFIG)
    sae = TopKSAE(config["d_in"], config["d_sae"], config["k"])
    weights = _read_weights(folder / WEIGHTS, {name: tuple(p.shape) for name, p in sae.named_parameters()})
    if config.get("rescale_acts_by_decoder_norm", False):
        norms = weights["W_dec"].norm(dim=1)
        weights["W_enc"], weights["b_enc"] = weights["W_enc"] * norms, weights["b_enc"] * norms
        weights["W_dec"] = weights["W_dec"] / norms.clamp_min(1e-12).unsqueeze(1)
    if not config.get("apply_b_dec_to_input", True):
        weights["b_enc"] = weights["b_enc"] + weights["b_dec"] @ weights["W_enc"]
    sae.load_state_dict(weights, assign=True)
    return sae.requires_grad_(False).eval()


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read ({error.strerror}); an SAE folder holds {CONFIG} and {WEIGHTS}"
        ) from error
    except ValueError as error:
        raise BadInput(f"{path}: not valid JSON ({error})") from error
    missing = [key for key in ("architecture", "d_in", "d_sae", "k") if key not in config]
    if missing:
        raise BadInput(f"{path}: key {missing[0]!r} is missing")
    expected = {"architecture": "topk", "normalize_activations": "none", "reshape_activations": "none"}
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise BadInput(f"{path}: {key} is {config[key]!r}; only {value!r} can be read")
    return config


def _read_weights(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path}: cannot be read ({error})") from error
    for name, shape in shapes.items():
        if name not in weights:
            raise BadInput(f"{path}: tensor {name!r} is missing; it has {', '.join(sorted(weights))}")
        if tuple(weights[name].shape) != shape:
            raise BadInput(f"{path}: {name} is {list(weights[name].shape)}, {CONFIG} says {list(shape)}")
    return {name: weights[name].to(torch.float32, copy=True) for name in shapes}  # not mapped to the file any more
