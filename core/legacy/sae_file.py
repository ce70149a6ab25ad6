"""An autoencoder out of a pickle of older scripts (`sae_final.pt`) or of dictionary_learning (`ae.pt`), rewritten as
SAELens' layout. What the file does not tell, and no name shows, the user must: nothing is assumed."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from core.errors import BadInput
from core.legacy.pickles import load_pickle
from core.legacy.sae_beside import refuse_changes, refuse_odd_tensors
from core.legacy.sae_names import PRE_BIASES, Parts, read_parts
from core.sae.architectures import SparseAutoencoder
from core.sae.configs import read_config
from core.sae.formats import assemble, save_sae, ungate
from core.sae.origins import Trained
from core.sae.weights import Weights

Activation = Literal["relu", "topk", "jumprelu"]
_STATES = ("model_state_dict", "state_dict", "sae_state_dict", "model", "sae", "autoencoder", "weights", "params")
_SETTINGS = ("config", "cfg", "sae_config", "args", "hparams", "hyper_parameters", "hyperparameters", "metadata")
_KS = ("k", "topk", "top_k", "topk_k", "k_active")
_L1S = ("l1_coefficient", "l1_coeff", "l1_lambda", "l1_alpha", "l1_penalty", "l1_weight", "sparsity_coefficient")
_ACTIVATIONS: Mapping[str, Activation] = {
    "relu": "relu",
    "standard": "relu",
    "vanilla": "relu",
    "topk": "topk",
    "top_k": "topk",
    "jumprelu": "jumprelu",
    "jump_relu": "jumprelu",
    "batchtopk": "jumprelu",
    "batch_topk": "jumprelu",
    "gated": "relu",
}
# dictionary_learning's classes: how they fire, and whether their input is centred.
_CLASSES: Mapping[str, tuple[Activation, bool]] = {
    "AutoEncoder": ("relu", True),
    "AutoEncoderNew": ("relu", False),
    "GatedAutoEncoder": ("relu", True),
    "AutoEncoderTopK": ("topk", True),
    "BatchTopKSAE": ("jumprelu", True),
    "MatryoshkaBatchTopKSAE": ("jumprelu", True),
    "JumpReluAutoEncoder": ("jumprelu", False),
}


@dataclass(frozen=True)
class Told:
    """What the user says of a file; null where the file must."""

    activation: Activation | None = None
    k: int | None = None
    centred: bool | None = None
    model: str | None = None
    hook: str | None = None


def import_sae(source: Path, out: Path, told: Told, tell: Callable[[str], None]) -> SparseAutoencoder:
    """Rewrite the autoencoder in `source`, a pickle or a folder of dictionary_learning, into the folder `out`.

    `tell` hears what the file did not say plainly and how it was read.

    Raises:
        BadInput: the file cannot be read, or how it fires or is centred is told by nobody.
    """
    path = source / "ae.pt" if source.is_dir() else source
    tensors, settings = _open(path)
    config = path.parent / "config.json"
    if path.name == "ae.pt" and config.is_file():
        settings |= _dictionary_learning(read_config(config, "trainer"), config)
    parts = read_parts(path, tensors, bool(settings.get("tied_weights")), tell)
    sae = _assemble(path, parts, _kind(path, parts, settings, told))
    centred = _centred(path, parts, settings, told)
    if not centred:
        sae.b_in = torch.zeros(sae.d_model)
    save_sae(sae, out, _trained(path, settings, told))
    how = f"the {sae.k} strongest of a row" if sae.k else "all above 0" if not sae.threshold.any() else "thresholds"
    tell(f"{path}: {sae.num_features} features of width {sae.d_model}; fires: {how}; centred by b_dec: {centred}")
    return sae


def _open(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, and every plain setting found beside them, by its name in small letters."""
    content = load_pickle(path)
    if not isinstance(content, Mapping):
        raise BadInput(f"{path}: holds {type(content).__name__}; a state_dict is needed, or a mapping that has one")
    inner = next((name for name in _STATES if _is_state(content.get(name))), None)
    state = content if inner is None else content[inner]
    refuse_odd_tensors(path, state)
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise BadInput(f"{path}: holds no tensors; its keys: {', '.join(map(str, content)) or 'none'}")
    refuse_changes(path, content, inner)
    return tensors, dict(_settings(content)) | _numbers(tensors)


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(item, Tensor) for item in value.values())


def _settings(content: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, str | int | float | bool):
            yield str(name).lower(), value
        elif name in _SETTINGS and isinstance(value, Mapping):
            yield from _settings(value)


def _numbers(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    k = next((value for name, value in tensors.items() if name.rpartition(".")[2] == "k" and value.numel() == 1), None)
    return {} if k is None else {"k": int(k)}


def _dictionary_learning(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    trainer = config["trainer"]
    named = str(trainer.get("dict_class")) if isinstance(trainer, Mapping) else "none"
    if named not in _CLASSES:
        raise BadInput(f"{path}: trainer.dict_class is {named!r}; what can be read is {', '.join(_CLASSES)}")
    activation, centred = _CLASSES[named]
    found = {"activation": activation, "centred": centred, "model_name": trainer.get("lm_name")}
    return found | {"k": trainer.get("k"), "hook_name": trainer.get("submodule_name"), "layer": trainer.get("layer")}


def _kind(path: Path, parts: Parts, settings: Mapping[str, Any], told: Told) -> tuple[Activation, int | None]:
    """How it fires, and k of the k strongest."""
    k = next((settings[name] for name in _KS if settings.get(name) is not None), None)
    named = told.activation or _named_activation(path, parts, settings) or _shown_activation(parts)
    if named is None and told.k is not None:
        named = "topk"
    if named is None and k is None and any(name in settings for name in _L1S):
        named = "relu"  # trained under an L1 penalty, and nothing else decides
    if named is None:
        raise BadInput(f"{path}: nothing tells how its features fire; say --activation relu, or --k K for a TopK")
    if named != "topk":
        if told.k is not None:
            raise BadInput(f"{path}: --k is for a TopK, and this is {named}; leave it out, or say --activation topk")
        return named, None
    if None not in (k, told.k) and k != told.k:
        raise BadInput(f"{path}: k is {k!r} in the file, and --k says {told.k}; leave it out")
    k, features = told.k if k is None else k, parts.size[1]
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= features:
        fix = "give it with --k K" if k is None else f"it must lie between 1 and its {features} features"
        raise BadInput(f"{path}: a TopK, and k is {'missing' if k is None else repr(k)}; {fix}")
    return "topk", k


def _named_activation(path: Path, parts: Parts, settings: Mapping[str, Any]) -> Activation | None:
    for key in ("activation", "activation_fn", "activation_fn_str", "activation_type", "sae_type", "architecture"):
        if settings.get(key) is not None:
            plain = re.sub(r"[^a-z_]", "", str(settings[key]).lower())
            if plain not in _ACTIVATIONS or (plain == "gated" and not parts.gated):
                known = ", ".join(sorted(set(_ACTIVATIONS.values())))
                raise BadInput(f"{path}: {key} is {settings[key]!r}; what can be read is {known}")
            return _ACTIVATIONS[plain]
    return None


def _shown_activation(parts: Parts) -> Activation | None:
    """As tensors of its own show it."""
    if parts.gated:
        return "relu"
    threshold = parts.tensors.get("threshold")
    return "jumprelu" if threshold is not None and threshold.ndim == 1 else None


def _centred(path: Path, parts: Parts, settings: Mapping[str, Any], told: Told) -> bool:
    """Whether b_dec is taken from the input before it is encoded; of no matter where it is 0."""
    if parts.bias_name is None or not parts.tensors["b_dec"].any():
        return True
    for said in (told.centred, settings.get("centred"), settings.get("apply_b_dec_to_input")):
        if isinstance(said, bool):
            return said
    if parts.bias_name in PRE_BIASES:
        return True
    raise BadInput(
        f"{path}: nothing tells whether {parts.bias_name} is taken from the input before it is encoded; say --centred "
        "where encode() reads encoder(x - bias), --not-centred where it reads encoder(x)"
    )


def _assemble(path: Path, parts: Parts, kind: tuple[Activation, int | None]) -> SparseAutoencoder:
    activation, k = kind
    found, features = dict(parts.tensors), parts.size[1]
    threshold = found.pop("threshold", None)
    if threshold is not None and (activation == "relu" or (activation == "topk" and threshold.ndim == 1)):
        raise BadInput(f"{path}: it has a threshold, and is told to be {activation}; say --activation jumprelu")
    if activation == "jumprelu" and (threshold is None or bool((threshold < 0).all())):
        raise BadInput(
            f"{path}: a JumpReLU or BatchTopK, and its threshold is {'missing' if threshold is None else 'unset'}"
        )
    level = torch.zeros(features) if activation != "jumprelu" or threshold is None else threshold
    if parts.gated:
        if found.pop("b_enc").any():
            raise BadInput(f"{path}: a gated SAE whose encoder has a bias of its own cannot be read")
        gate = Weights(path, {name: found.pop(name) for name in ("b_gate", "r_mag")})
        level = ungate(found, gate)
    return assemble({**found, "threshold": level.expand(features).clone()}, k)


def _trained(path: Path, settings: Mapping[str, Any], told: Told) -> Trained:
    model = told.model or next((settings[key] for key in ("model_name", "model", "lm_name") if settings.get(key)), None)
    hook = told.hook or next((settings[key] for key in ("hook_name", "hook_point") if settings.get(key)), None)
    kept = {key: value for key, value in settings.items() if value is not None and key not in ("model", "centred")}
    return Trained(_text(model), _text(hook), {"imported_from": path.name, **kept})


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
