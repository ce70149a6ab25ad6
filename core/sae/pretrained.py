"""Autoencoders that others trained, told by the files in their folder: SAELens, sparsify, Gemma Scope 1 and 2."""

from pathlib import Path

import torch

from core.errors import BadInput
from core.sae import formats
from core.sae.architectures import SparseAutoencoder
from core.sae.weights import Weights, read_config

SPARSIFY_WEIGHTS = "sae.safetensors"
GEMMA_SCOPE = "params.npz"
GEMMA_SCOPE_2 = "params.safetensors"


def open_pretrained(folder: Path, d_model: int) -> SparseAutoencoder:
    """Read whatever autoencoder lies in `folder`, for rows of width `d_model`; a transcoder is refused.

    Raises:
        BadInput: the folder holds none that is known, a file is damaged, or it was trained on another width.
    """
    readers = {
        formats.WEIGHTS: formats.load_sae,
        SPARSIFY_WEIGHTS: load_sparsify,
        GEMMA_SCOPE: load_gemma_scope,
        GEMMA_SCOPE_2: load_gemma_scope_2,
    }
    for name, read in readers.items():
        if (folder / name).is_file():
            sae = read(folder)
            if sae.d_model != d_model:
                raise BadInput(f"{folder}: this SAE reads rows of width {sae.d_model}; the layer's have {d_model}")
            if sae.transcodes or any("transcoder" in part for part in folder.parts[-2:]):
                raise BadInput(f"{folder}: a transcoder gives another site's rows; only autoencoders are used here")
            return sae
    raise BadInput(f"{folder}: holds no SAE; one of {', '.join(readers)} is looked for")


def load_sparsify(folder: Path) -> SparseAutoencoder:
    """Read a `SparseCoder` of EleutherAI/sparsify (1.3): TopK, its encoder stored as a linear layer.

    Raises:
        BadInput: a file or key is missing, a shape does not fit, or it is of a kind that cannot be read.
    """
    config = read_config(folder / formats.CONFIG, "k", "d_in")
    expected = {"activation": "topk", "multi_topk": False, "skip_connection": False}
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise BadInput(f"{folder / formats.CONFIG}: {key} is {config[key]!r}; only {value!r} can be read")
    weights = Weights.read(folder / SPARSIFY_WEIGHTS)
    decoder = weights.get("W_dec")
    features, d_out = decoder.shape
    sae = SparseAutoencoder(config["d_in"], features, config["k"], d_out)
    encoder = weights.get("encoder.weight", (features, config["d_in"]), formats.CONFIG)
    found = {"W_enc": encoder.T.contiguous(), "W_dec": decoder, "threshold": sae.threshold}
    found |= {"b_enc": weights.get("encoder.bias", (features,)), "b_dec": weights.get("b_dec", (d_out,))}
    sae.load_state_dict(found, assign=True)
    if config.get("transcode", False):
        sae.b_in, sae.transcodes = torch.zeros(config["d_in"]), True
    return sae.requires_grad_(False).eval()


def load_gemma_scope(folder: Path) -> SparseAutoencoder:
    """Read a JumpReLU autoencoder of Gemma Scope (Lieberum et al. 2024, arXiv 2408.05147), params.npz.

    Raises:
        BadInput: an array is missing or does not fit.
    """
    return _jump_relu(Weights.read(folder / GEMMA_SCOPE), {name: name for name in _NAMES})


def load_gemma_scope_2(folder: Path) -> SparseAutoencoder:
    """Read a JumpReLU autoencoder or transcoder of Gemma Scope 2, params.safetensors beside config.json.

    Raises:
        BadInput: a file or tensor is missing or does not fit, or it is a transcoder with an affine skip connection.
    """
    config = read_config(folder / "config.json", "architecture")
    if config["architecture"] != "jump_relu":
        raise BadInput(f"{folder / 'config.json'}: architecture is {config['architecture']!r}, not 'jump_relu'")
    weights = Weights.read(folder / GEMMA_SCOPE_2)
    if "affine_skip_connection" in weights.tensors:
        raise BadInput(f"{weights.path}: a transcoder with an affine skip connection; only plain ones can be read")
    return _jump_relu(weights, {name: name.lower() for name in _NAMES})


_NAMES = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")


def _jump_relu(weights: Weights, names: dict[str, str]) -> SparseAutoencoder:
    """Gemma Scope's input is not centred by b_dec."""
    encoder = weights.get(names["W_enc"])
    if encoder.ndim != 2:
        raise BadInput(f"{weights.path}: {names['W_enc']} is {list(encoder.shape)}, not [D, F]")
    d_model, features = encoder.shape
    decoder = weights.get(names["W_dec"])
    d_out = decoder.shape[-1]
    shapes = {"W_dec": (features, d_out), "b_enc": (features,), "b_dec": (d_out,), "threshold": (features,)}
    told_by = f"{names['W_enc']} {list(encoder.shape)}"
    found = {name: weights.get(names[name], shape, told_by) for name, shape in shapes.items()}
    sae = SparseAutoencoder(d_model, features, None, d_out)
    sae.load_state_dict({"W_enc": encoder, **found}, assign=True)
    sae.b_in = torch.zeros(d_model)
    return sae.requires_grad_(False).eval()
