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
from core.sae.configs import CONFIG, SPARSITY, WEIGHTS, SAELensConfig, saelens_config
from core.sae.origins import USED_ON, Trained
from core.sae.weights import Read, Weights
from core.study.hook_names import HOOK_NAMES
from core.study.sites import STREAM, VISION, Site

SAE_LENS_VERSION = "6.54.12"
"""The SAELens that these files were last read back with (benchmarks/saelens_roundtrip.py)."""
_SILENT = 1e-10
# TransformerLens has no hooks there: both names are transformers'.
_VISION_HOOKS: Mapping[Site, str] = {
    "vision_post": "vision_tower.encoder.layers.{layer}.output",
    "projector": "multi_modal_projector.output",
}


@dataclass(frozen=True)
class Origin:
    """Where an autoencoder's rows came from; written into cfg.json for whoever loads it elsewhere.

    `model` and `dataset` are names, not paths (`model` a factory's, where one made it); `site` is what of the layer was
    read. `trained` is set for someone else's: then the rest says what it is used on here. `frozen_decoder` says that
    the decoder is random and was never trained.
    """

    model: str
    layer: int
    site: Site = STREAM
    dataset: str = ""
    context_size: int = 128
    trained: Trained | None = None
    frozen_decoder: bool = False

    @property
    def from_factory(self) -> bool:
        """Whether the model is one of `model.factory`, `package.module:function`."""
        return ":" in self.model


def save_sae(
    sae: SparseAutoencoder, folder: Path, origin: Origin | Trained, firing_rate: Float[Tensor, " F"] | None = None
) -> None:
    """Write the autoencoder into `folder`; `firing_rate` is kept as SAELens keeps it, log10.

    `origin` is where its rows came from: someone else's that is only rewritten has no place here.

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


def _config(sae: SparseAutoencoder, origin: Origin | Trained) -> dict[str, Any]:
    return {
        **_architecture(sae),
        "d_in": sae.d_model,
        "d_sae": sae.num_features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.b_in is None,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": _kept_metadata(origin) if isinstance(origin, Trained) else _metadata(origin),
    }


def _metadata(origin: Origin) -> dict[str, Any]:
    here = {"model_name": origin.model, **_hook_names(origin)}
    if origin.trained is not None:
        return {**_kept_metadata(origin.trained), USED_ON: {**here, "differs": list(origin.trained.differs)}}
    return {
        **here,
        "prepend_bos": origin.site not in VISION and not origin.from_factory,
        "context_size": origin.context_size,
        "dataset_path": origin.dataset,
        "neuronpedia_id": None,
        "sae_lens_version": SAE_LENS_VERSION,
        **({"frozen_decoder": True} if origin.frozen_decoder else {}),
    }


def _kept_metadata(trained: Trained) -> dict[str, Any]:
    """All that someone else's files say of where it was trained."""
    found = {key: value for key, value in trained.metadata.items() if key not in ("hook_point", USED_ON)}
    names = {"model_name": trained.model, "hook_name": trained.hook}
    return {**found, **names, "sae_lens_version": SAE_LENS_VERSION}


def _hook_names(origin: Origin) -> dict[str, str]:
    if origin.site in VISION:
        name = _VISION_HOOKS[origin.site].format(layer=origin.layer)
        return {"hook_name": name, "hf_hook_name": f"model.{name}"}
    if origin.from_factory:  # whose modules have no names known elsewhere
        return {"hook_name": f"{origin.site}.{origin.layer}", "hf_hook_name": ""}
    lens, module = HOOK_NAMES[origin.site]
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


def load_sae(folder: Path, read: Read = Weights.read) -> SparseAutoencoder:
    """Read an autoencoder or transcoder in SAELens' layout, on the CPU in float32, ready for inference.

    One that scales its activations by decoder norms, or gates them, is rewritten into an equal one that does not.

    Raises:
        BadInput: a file, key or tensor is missing or not known, a shape does not fit, or its kind cannot be read.
    """
    config = saelens_config(folder / CONFIG)
    weights = read(folder / WEIGHTS)
    shapes = {
        "W_enc": (config.d_in, config.d_sae),
        "W_dec": (config.d_sae, config.d_out),
        "b_dec": (config.d_out,),
        "b_mag" if config.architecture == "gated" else "b_enc": (config.d_sae,),
    }
    found = {name: weights.get(name, shape, CONFIG) for name, shape in shapes.items()}
    threshold = _threshold(config, weights)
    if config.architecture == "gated":
        threshold = ungate(found, weights)
    for name in ("scaling_factor", "finetuning_scaling_factor"):  # SAELens before 4 wrote one with every autoencoder
        weights.take_ones(name)
    weights.refuse_unread()
    if config.rescale:
        _rescale(found)
    sae = assemble({**found, "threshold": threshold}, config.k)
    if config.transcodes or not config.apply_b_dec_to_input:
        sae.b_in, sae.transcodes = torch.zeros(config.d_in), config.transcodes
    return sae


def assemble(tensors: Mapping[str, Tensor], k: int | None) -> SparseAutoencoder:
    """An autoencoder of these tensors (W_enc, W_dec, b_enc, b_dec, threshold), ready for inference."""
    features, d_out = tensors["W_dec"].shape
    with torch.device("meta"):  # its own zeros are replaced at once
        sae = SparseAutoencoder(len(tensors["W_enc"]), features, k, d_out)
    sae.load_state_dict({name: tensor.contiguous() for name, tensor in tensors.items()}, assign=True)
    return sae.requires_grad_(False).eval()


def _threshold(config: SAELensConfig, weights: Weights) -> Float[Tensor, " F"]:
    if "jumprelu" in config.architecture:
        if "threshold" not in weights.tensors and "log_threshold" in weights.tensors:  # as it was trained
            return weights.get("log_threshold", (config.d_sae,), CONFIG).exp()
        return weights.get("threshold", (config.d_sae,), CONFIG)
    if config.one_threshold:
        threshold = weights.get("topk_threshold", (), CONFIG)
        if threshold < 0:
            raise BadInput(f"{weights.path}: topk_threshold is {float(threshold)}: it was never set; export it trained")
        return threshold.expand(config.d_sae).clone()
    return torch.zeros(config.d_sae)


def ungate(found: dict[str, Tensor], weights: Weights) -> Float[Tensor, " F"]:
    """A gate whose weights are the magnitude's is a threshold on it (Rajamanoharan et al. 2024a, appendix E)."""
    shape = found["b_mag"].shape
    gain = weights.get("r_mag", tuple(shape), "b_mag").exp()
    bias = found["b_enc"] = found.pop("b_mag")
    found["W_enc"] *= gain
    return (bias - gain * weights.get("b_gate", tuple(shape), "b_mag")).clamp_min(0)


def _rescale(found: dict[str, Tensor]) -> None:
    norms = found["W_dec"].norm(dim=1)
    found["W_enc"], found["b_enc"] = found["W_enc"] * norms, found["b_enc"] * norms
    found["W_dec"] = found["W_dec"] / norms.clamp_min(1e-12).unsqueeze(1)
