"""Autoencoders on disk, in the layout of SAELens: cfg.json beside sae_weights.safetensors, readable there unchanged."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from core.errors import BadInput
from core.sae.architectures import SparseAutoencoder
from core.sae.weights import Weights, read_config
from core.study.sites import STREAM, VISION, Site

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"
SPARSITY = "sparsity.safetensors"
SAE_LENS_VERSION = "6.54.12"
"""The SAELens that these files were last read back with (benchmarks/saelens_roundtrip.py)."""
_SILENT = 1e-10
# TransformerLens' name, and Gemma's module in transformers, as Gemma Scope 2 writes them.
_HOOKS: Mapping[Site, tuple[str, str]] = {
    "resid_post": ("hook_resid_post", "output"),
    "attn_z": ("attn.hook_z", "self_attn.o_proj.input"),
    "attn_out": ("attn.hook_out", "self_attn.output"),
    "attn_out_normed": ("hook_attn_out", "post_attention_layernorm.output"),
    "mlp_out": ("mlp.hook_out", "mlp.output"),
    "mlp_out_normed": ("hook_mlp_out", "post_feedforward_layernorm.output"),
}
# TransformerLens has no hooks there: both names are transformers'.
_VISION_HOOKS: Mapping[Site, str] = {
    "vision_post": "vision_tower.encoder.layers.{layer}.output",
    "projector": "multi_modal_projector.output",
}


@dataclass(frozen=True)
class Origin:
    """Where an autoencoder's rows came from; written into cfg.json for whoever loads it elsewhere.

    `model` and `dataset` are names, not paths (`model` a factory's, where one made it); `site` is what of the layer was
    read.
    """

    model: str
    layer: int
    site: Site = STREAM
    dataset: str = ""
    context_size: int = 128

    @property
    def from_factory(self) -> bool:
        """Whether the model is one of `model.factory`, `package.module:function`."""
        return ":" in self.model


def save_sae(
    sae: SparseAutoencoder, folder: Path, origin: Origin, firing_rate: Float[Tensor, " F"] | None = None
) -> None:
    """Write the autoencoder into `folder`; `firing_rate` is kept as SAELens keeps it, log10.

    Raises:
        BadInput: it is a TopK transcoder, which SAELens does not know.
        OSError: a file cannot be written.
    """
    config = _config(sae, origin)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach() for name, tensor in sae.named_parameters()}
    if sae.k is None:
        tensors["threshold"] = sae.threshold
    if sae.b_in is not None:
        tensors["b_enc"] = tensors["b_enc"] - sae.b_in @ tensors["W_enc"]
    _save(tensors, folder / WEIGHTS)
    if firing_rate is not None:
        _save({"sparsity": torch.log10(firing_rate.float() + _SILENT)}, folder / SPARSITY)
    text = json.dumps(config, indent=1, ensure_ascii=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written ({error})") from error


def _config(sae: SparseAutoencoder, origin: Origin) -> dict[str, Any]:
    return {
        **_architecture(sae),
        "d_in": sae.d_model,
        "d_sae": sae.num_features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.b_in is None,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "model_name": origin.model,
            **_hook_names(origin),
            "prepend_bos": origin.site not in VISION and not origin.from_factory,
            "context_size": origin.context_size,
            "dataset_path": origin.dataset,
            "neuronpedia_id": None,
            "sae_lens_version": SAE_LENS_VERSION,
        },
    }


def _hook_names(origin: Origin) -> dict[str, str]:
    if origin.site in VISION:
        name = _VISION_HOOKS[origin.site].format(layer=origin.layer)
        return {"hook_name": name, "hf_hook_name": f"model.{name}"}
    if origin.from_factory:  # whose modules have no names known elsewhere
        return {"hook_name": f"{origin.site}.{origin.layer}", "hf_hook_name": ""}
    lens, module = _HOOKS[origin.site]
    return {
        "hook_name": f"blocks.{origin.layer}.{lens}",
        "hf_hook_name": f"model.layers.{origin.layer}.{module}",
    }


def _architecture(sae: SparseAutoencoder) -> dict[str, Any]:
    if sae.transcodes:
        if sae.k is not None:
            raise BadInput("SAELens has no TopK transcoder; train it as batchtopk, jumprelu, gated or relu")
        return {"architecture": "jumprelu_transcoder", "d_out": sae.d_out}
    if sae.k is not None:
        return {"architecture": "topk", "k": sae.k, "rescale_acts_by_decoder_norm": False}
    return {"architecture": "jumprelu"}


_READABLE = ("topk", "jumprelu", "standard", "gated", "transcoder", "jumprelu_transcoder")


def load_sae(folder: Path) -> SparseAutoencoder:
    """Read an autoencoder or transcoder in SAELens' layout, on the CPU in float32, ready for inference.

    One that scales its activations by decoder norms, or gates them, is rewritten into an equal one that does not.

    Raises:
        BadInput: a file or key is missing, a shape does not fit, or its kind cannot be read.
    """
    config = read_config(folder / CONFIG, "architecture", "d_in", "d_sae")
    _refuse(config, folder / CONFIG)
    architecture, d_in, features = config["architecture"], config["d_in"], config["d_sae"]
    transcodes = "transcoder" in architecture
    k = read_config(folder / CONFIG, "k")["k"] if architecture == "topk" else None
    sae = SparseAutoencoder(d_in, features, k, config.get("d_out", d_in) if transcodes else d_in)
    weights = Weights.read(folder / WEIGHTS)
    shapes = {"W_enc": (d_in, features), "W_dec": (features, sae.d_out), "b_dec": (sae.d_out,)}
    shapes |= {"b_mag" if architecture == "gated" else "b_enc": (features,)}
    found = {name: weights.get(name, shape, CONFIG) for name, shape in shapes.items()}
    threshold = torch.zeros(features)
    if "jumprelu" in architecture:
        threshold = weights.get("threshold", (features,), CONFIG)
    if architecture == "gated":
        threshold = _ungate(found, weights)
    if config.get("rescale_acts_by_decoder_norm", False):
        _rescale(found)
    sae.load_state_dict({**found, "threshold": threshold}, assign=True)
    if transcodes or not config.get("apply_b_dec_to_input", True):
        sae.b_in, sae.transcodes = torch.zeros(d_in), transcodes
    return sae.requires_grad_(False).eval()


def _refuse(config: Mapping[str, Any], path: Path) -> None:
    expected = {"normalize_activations": ("none",), "reshape_activations": ("none",), "architecture": _READABLE}
    for key, values in expected.items():
        if config.get(key, values[0]) not in values:
            raise BadInput(f"{path}: {key} is {config[key]!r}; what can be read is {', '.join(values)}")
    # SAELens before 6 called every autoencoder `standard` and told its activation function and its scale here.
    for key in ("activation_fn", "activation_fn_str"):
        if config.get(key, "relu") not in ("relu", config.get("architecture")):
            raise BadInput(f"{path}: {key} is {config[key]!r}; load it in SAELens 6 or later and save it again")
    if config.get("finetuning_scaling_factor"):
        raise BadInput(f"{path}: finetuning_scaling_factor is set; fold it into W_dec and b_dec, or save without it")
    k = config.get("k") if config.get("architecture") == "topk" else None
    if k is not None and not (isinstance(k, int) and 0 < k <= config["d_sae"]):
        raise BadInput(f"{path}: k is {k!r}; it must lie between 1 and d_sae, {config['d_sae']}")


def _ungate(found: dict[str, Tensor], weights: Weights) -> Float[Tensor, " F"]:
    """A gate whose weights are the magnitude's is a threshold on it (Rajamanoharan et al. 2024a, appendix E)."""
    gain = weights.get("r_mag").exp()
    bias = found["b_enc"] = found.pop("b_mag")
    found["W_enc"] *= gain
    return (bias - gain * weights.get("b_gate")).clamp_min(0)


def _rescale(found: dict[str, Tensor]) -> None:
    norms = found["W_dec"].norm(dim=1)
    found["W_enc"], found["b_enc"] = found["W_enc"] * norms, found["b_enc"] * norms
    found["W_dec"] = found["W_dec"] / norms.clamp_min(1e-12).unsqueeze(1)
