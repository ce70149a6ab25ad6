"""Autoencoders that others trained, known by the files in their folder: SAELens, sparsify, Gemma Scope 1 and 2."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from core.errors import BadInput
from core.lm.hub import hub_name
from core.sae import formats
from core.sae.architectures import SparseAutoencoder
from core.sae.configs import (
    CONFIG,
    GEMMA_SCOPE,
    GEMMA_SCOPE_2,
    GEMMA_SCOPE_2_CONFIG,
    PICKLES,
    SPARSIFY_WEIGHTS,
    WEIGHT_FILES,
    WEIGHTS,
    count,
    read_config,
    refuse_unknown,
    weights_file,
)
from core.sae.weights import Read, Weights


def _silent(_: str) -> None:
    pass


def open_pretrained(folder: Path, d_model: int | None, report: Callable[[str], None] = _silent) -> SparseAutoencoder:
    """Read whatever autoencoder lies in `folder`, for rows of width `d_model`; a transcoder is refused.

    `report` hears what was changed on the way, such as wrappers stripped from tensors' names.

    Raises:
        BadInput: the folder holds none that is known, a file is damaged, it was trained on another width, or a key or
            tensor is not known, so that it may compute something else.
    """

    def read(path: Path) -> Weights:
        weights = Weights.read(path)
        if weights.stripped:
            report(f"{path}: every tensor's name begins with {weights.stripped!r}, which was left out")
        return weights

    return _open(folder, d_model, read)


def check_pretrained(folder: Path, d_model: int | None) -> int:
    """Refuse by configuration and headers alone, without reading the numbers; null `d_model` is any width. Gives the
    number of features.

    Raises:
        BadInput: as `open_pretrained`, but for NaN, Inf and a factor that is not 1.
    """
    return _open(folder, d_model, Weights.headers).num_features


def _open(folder: Path, d_model: int | None, read: Read) -> SparseAutoencoder:
    name = weights_file(folder)
    if name is None:
        raise BadInput(f"{folder}: holds no SAE; one of {', '.join(WEIGHT_FILES)} is looked for{_pickle_hint(folder)}")
    readers = {
        WEIGHTS: formats.load_sae,
        SPARSIFY_WEIGHTS: load_sparsify,
        GEMMA_SCOPE: load_gemma_scope,
        GEMMA_SCOPE_2: load_gemma_scope_2,
    }
    sae = readers[name](folder, read)
    if d_model not in (None, sae.d_model):
        raise BadInput(f"{folder}: this SAE reads rows of width {sae.d_model}; the layer's have {d_model}")
    if sae.transcodes or _called_transcoder(folder, name):
        raise BadInput(f"{folder}: a transcoder gives another site's rows; only autoencoders are used here")
    return sae


def _called_transcoder(folder: Path, file: str) -> bool:
    """Whether its repository is called so; of Gemma Scope, whose files may not say it, the folders around it too. A
    name that promises SAEs as well decides nothing."""
    names = [(hub_name(folder) or "").rpartition("/")[2]]
    if file in (GEMMA_SCOPE, GEMMA_SCOPE_2):
        names += [*folder.parts[-2:], *(part for part in folder.parts if part.startswith("gemma-scope"))]
    words = [set(re.split(r"[^a-z]+", name.lower())) for name in names]
    return any(found & {"transcoder", "transcoders"} and not found & {"sae", "saes"} for found in words)


def _pickle_hint(folder: Path) -> str:
    pickles = sorted(path.name for suffix in PICKLES for path in folder.glob(f"*{suffix}"))
    return f"; `saeflow import-sae {folder / pickles[0]} NEW_FOLDER` rewrites {pickles[0]}" if pickles else ""


_SPARSIFY_FIXED: Mapping[str, tuple[Any, str]] = {
    "activation": ("topk", "only topk can be read"),
    "signed": (False, "it keeps negative activations, which no analysis here reads"),
    "multi_topk": (False, "only False can be read"),
    "skip_connection": (False, "its linear skip connection cannot be read"),
}
_SPARSIFY_KNOWN = frozenset(
    {*_SPARSIFY_FIXED, "k", "d_in", "transcode", "num_latents"} | {"expansion_factor", "normalize_decoder"}
)


def load_sparsify(folder: Path, read: Read = Weights.read) -> SparseAutoencoder:
    """Read a `SparseCoder` of EleutherAI/sparsify (to 1.3): TopK, its encoder stored as a linear layer.

    Raises:
        BadInput: a file, key or tensor is missing or not known, a shape does not fit, or it is of a kind that cannot be
            read.
    """
    path = folder / CONFIG
    config = read_config(path, "k", "d_in")
    refuse_unknown(config, _SPARSIFY_KNOWN, path)
    for key, (value, why) in _SPARSIFY_FIXED.items():
        if config.get(key, value) not in (value, None):
            raise BadInput(f"{path}: {key} is {config[key]!r}; {why}")
    weights, d_in = read(folder / SPARSIFY_WEIGHTS), count(config, "d_in", path)
    decoder = weights.get("W_dec")
    if decoder.ndim != 2:
        raise BadInput(f"{weights.path}: W_dec is {list(decoder.shape)}, not [F, D]")
    features, d_out = decoder.shape
    expansion = config.get("expansion_factor")
    if expansion is not None and (isinstance(expansion, bool) or not isinstance(expansion, int | float)):
        raise BadInput(f"{path}: expansion_factor is {expansion!r}; write a number, or leave it out")
    stated = config.get("num_latents") or d_in * (expansion or 0) or features
    if stated != features:
        raise BadInput(f"{weights.path}: W_dec has {features} features, {CONFIG} says {stated}")
    k = count(config, "k", path, features)
    encoder = weights.get("encoder.weight", (features, d_in), CONFIG)
    found = {"W_enc": encoder.T, "W_dec": decoder, "threshold": torch.zeros(features)}
    found |= {"b_enc": weights.get("encoder.bias", (features,)), "b_dec": weights.get("b_dec", (d_out,))}
    weights.refuse_unread()
    sae = formats.assemble(found, k)
    if config.get("transcode"):
        sae.b_in, sae.transcodes = torch.zeros(d_in), True
    return sae


def load_gemma_scope(folder: Path, read: Read = Weights.read) -> SparseAutoencoder:
    """Read a JumpReLU autoencoder of Gemma Scope (Lieberum et al. 2024, arXiv 2408.05147), params.npz.

    Raises:
        BadInput: an array is missing, not known, or does not fit.
    """
    return _jump_relu(read(folder / GEMMA_SCOPE), {name: name for name in _NAMES})


_SCOPE_2_KNOWN = frozenset(
    ("architecture", "model_name", "hf_hook_point_in", "hf_hook_point_out", "width", "l0", "type", "affine_connection")
)


def load_gemma_scope_2(folder: Path, read: Read = Weights.read) -> SparseAutoencoder:
    """Read a JumpReLU autoencoder or transcoder of Gemma Scope 2, params.safetensors beside config.json.

    Raises:
        BadInput: a file, key or tensor is missing, not known or does not fit, or it is a transcoder with an affine skip
            connection or of several layers.
    """
    path = folder / GEMMA_SCOPE_2_CONFIG
    config = read_config(path, "architecture")
    refuse_unknown(config, _SCOPE_2_KNOWN, path)
    if config["architecture"] != "jump_relu":
        raise BadInput(f"{path}: architecture is {config['architecture']!r}, not 'jump_relu'")
    if config.get("type") not in (None, "sae", "transcoder"):
        raise BadInput(f"{path}: type is {config['type']!r}; only an SAE of one layer can be read")
    weights = read(folder / GEMMA_SCOPE_2)
    if "affine_skip_connection" in weights.tensors or config.get("affine_connection"):
        raise BadInput(f"{weights.path}: a transcoder with an affine skip connection; only plain ones can be read")
    sae = _jump_relu(weights, {name: name.lower() for name in _NAMES})
    inward, outward = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    sae.transcodes |= config.get("type") == "transcoder" or outward not in (None, inward)
    return sae


_NAMES = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")


def _jump_relu(weights: Weights, names: dict[str, str]) -> SparseAutoencoder:
    """Gemma Scope's input is not centred by b_dec."""
    encoder = weights.get(names["W_enc"])
    if encoder.ndim != 2:
        raise BadInput(f"{weights.path}: {names['W_enc']} is {list(encoder.shape)}, not [D, F]")
    features = encoder.shape[1]
    decoder = weights.get(names["W_dec"])
    d_out = decoder.shape[-1] if decoder.ndim else 0
    shapes = {"W_dec": (features, d_out), "b_enc": (features,), "b_dec": (d_out,), "threshold": (features,)}
    source = f"{names['W_enc']} {list(encoder.shape)}"
    found = {name: weights.get(names[name], shape, source) for name, shape in shapes.items()}
    weights.refuse_unread()
    sae = formats.assemble({"W_enc": encoder, **found}, None)
    sae.b_in = torch.zeros(len(encoder))
    return sae
