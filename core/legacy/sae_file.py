"""An autoencoder out of a pickle of older scripts (`sae_final.pt`) or of dictionary_learning (`ae.pt`), rewritten as
SAELens' layout. What the file does not say, and no name shows, the user must: nothing is assumed."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from core.errors import BadInput
from core.legacy.pickles import load_pickle
from core.legacy.sae_beside import refuse_changes, refuse_odd_tensors, refuse_scaling
from core.legacy.sae_names import PRE_BIASES, Parts, read_parts
from core.sae.architectures import SparseAutoencoder
from core.sae.configs import CONFIG, read_config
from core.sae.formats import assemble, save_sae, ungate
from core.sae.origins import Trained
from core.sae.weights import Weights
from core.store.folders import refuse_filled, renamed_into

Activation = Literal["relu", "topk", "jumprelu"]
_STATES = ("model_state_dict", "state_dict", "sae_state_dict", "model", "sae", "autoencoder", "weights", "params")
# Where settings lie, in whichever of these that is no state; of two that contradict each other the first counts.
_CONTAINERS = (
    *("sae_config", "sae_cfg", "sae", "autoencoder", "config", "cfg", "args", "hparams", "hyper_parameters"),
    *("hyperparameters", "model_config", "settings", "training", "train", "trainer", "metadata"),
)
_TIED = ("tied_weights", "tie_weights", "weights_tied", "tied")
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
class SAEOptions:
    """What the user states of a file; null where the file must."""

    activation: Activation | None = None
    k: int | None = None
    centred: bool | None = None
    model: str | None = None
    hook: str | None = None


def import_sae(source: Path, out: Path, options: SAEOptions, report: Callable[[str], None]) -> SparseAutoencoder:
    """Rewrite the autoencoder in `source`, a pickle or a folder of dictionary_learning, into the folder `out`.

    The folder appears when it is whole. `report` hears what the file does not say plainly, and how it was read.

    Raises:
        BadInput: the file cannot be read, neither it nor the user says how it fires or is centred, or `out` holds
            something.
    """
    refuse_filled(out)
    path = source / "ae.pt" if source.is_dir() else source
    tensors, settings = _open(path)
    parts = read_parts(path, tensors, any(settings.get(name) for name in _TIED), report)
    sae = _assemble(path, parts, _kind(path, parts, settings, options))
    centred = _centred(path, parts, settings, options)
    if not centred:
        sae.b_in = torch.zeros(sae.d_model)
    with renamed_into(out) as folder:
        save_sae(sae, folder, _trained(path, settings, options))
    how = f"the {sae.k} strongest of a row" if sae.k else "all above 0" if not sae.threshold.any() else "thresholds"
    report(f"{path}: {sae.num_features} features of width {sae.d_model}; fires: {how}; centred by b_dec: {centred}")
    return sae


def _open(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, and every plain setting found with them, by its name in small letters: the file's own go before
    those of a configuration beside it."""
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
    return tensors, _beside(path) | _settings(content) | _numbers(tensors)


def _beside(path: Path) -> dict[str, Any]:
    """The settings of the configuration beside a pickle, where there is one: dictionary_learning's, or another's."""
    config = path.parent / "config.json"
    if path.name == "ae.pt" and config.is_file():
        content = read_config(config, "trainer")
        refuse_scaling(config, {key: value for key, value in content.items() if key != "trainer"})
        return _dictionary_learning(content, config)
    names = (f"{path.stem}.json", f"{path.stem}_config.json", "sae_config.json", CONFIG, config.name)
    found = next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)
    if found is None:
        return {}
    content = read_config(found)
    if "transformers_version" in content:  # a language model's
        return {}
    refuse_scaling(found, content)
    return _settings(content)


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(item, Tensor) for item in value.values())


def _settings(content: Mapping[Any, Any]) -> dict[str, Any]:
    """The plain settings by name: those of a container, such as `config`, give way to those around it, and those of a
    container to those of one that `_CONTAINERS` names before it."""
    found: dict[str, Any] = {}
    inner = {str(name).lower(): value for name, value in content.items() if isinstance(value, Mapping)}
    for name in reversed([name for name in _CONTAINERS if name in inner]):
        found |= _settings(inner[name])
    plain = {str(name).lower(): value for name, value in content.items() if isinstance(value, str | int | float)}
    return found | plain


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


def _kind(path: Path, parts: Parts, settings: Mapping[str, Any], options: SAEOptions) -> tuple[Activation, int | None]:
    """How it fires, and k of the k strongest."""
    k = next((settings[name] for name in _KS if settings.get(name) is not None), None)
    named = options.activation or _named_activation(path, parts, settings) or _shown_activation(parts)
    if named is None and options.k is not None:
        named = "topk"
    if named is None and k is None and any(name in settings for name in _L1S):
        named = "relu"  # trained under an L1 penalty, and nothing else decides
    if named is None:
        raise BadInput(f"{path}: nothing says how its features fire; pass --activation relu, or --k K for a TopK")
    if named != "topk":
        if options.k is not None:
            raise BadInput(f"{path}: --k is for a TopK, and this is {named}; leave it out, or pass --activation topk")
        return named, None
    if None not in (k, options.k) and k != options.k:
        raise BadInput(f"{path}: k is {k!r} in the file, and --k is {options.k}; leave the option out")
    k, features = options.k if k is None else k, parts.size[1]
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= features:
        fix = "pass --k K" if k is None else f"it must lie between 1 and its {features} features"
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


def _centred(path: Path, parts: Parts, settings: Mapping[str, Any], options: SAEOptions) -> bool:
    """Whether b_dec is taken from the input before it is encoded; of no matter where it is 0."""
    if parts.bias_name is None or not parts.tensors["b_dec"].any():
        return True
    for stated in (options.centred, settings.get("centred"), settings.get("apply_b_dec_to_input")):
        if isinstance(stated, bool):
            return stated
    if parts.bias_name in PRE_BIASES:
        return True
    raise BadInput(
        f"{path}: nothing says whether {parts.bias_name} is taken from the input before it is encoded; pass --centred "
        "where encode() reads encoder(x - bias), --not-centred where it reads encoder(x)"
    )


def _assemble(path: Path, parts: Parts, kind: tuple[Activation, int | None]) -> SparseAutoencoder:
    activation, k = kind
    found, features = dict(parts.tensors), parts.size[1]
    threshold = found.pop("threshold", None)
    if threshold is not None and (activation == "relu" or (activation == "topk" and threshold.ndim == 1)):
        raise BadInput(f"{path}: it has a threshold, and is taken for {activation}; pass --activation jumprelu")
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


def _trained(path: Path, settings: Mapping[str, Any], options: SAEOptions) -> Trained:
    model = options.model or next(
        (settings[key] for key in ("model_name", "model", "lm_name") if settings.get(key)), None
    )
    hook = options.hook or next((settings[key] for key in ("hook_name", "hook_point") if settings.get(key)), None)
    kept = {key: value for key, value in settings.items() if value is not None and key not in ("model", "centred")}
    return Trained(_text(model), _text(hook), {"imported_from": path.name, **kept})


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
