"""Where someone else's autoencoder was trained: the model and the hook, as its files name them; loads no torch."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from core.errors import BadInput
from core.lm.hub import hub_name
from core.lm.shape import KIND
from core.sae.configs import (
    CONFIG,
    GEMMA_SCOPE,
    GEMMA_SCOPE_2,
    GEMMA_SCOPE_2_CONFIG,
    SPARSIFY_WEIGHTS,
    read_config,
    weights_file,
)
from core.study.sites import Site

ORIGIN = "origin.json"
"""Where someone else's autoencoder was trained, beside the feature index made with it."""
USED_ON = "used_on"
"""The key of cfg.json's metadata below which someone else's autoencoder has the place that it is used on here."""
_SITES: Mapping[str, tuple[Site, ...]] = {
    # TransformerLens; its hook_attn_out and hook_mlp_out stand behind a norm where there is one, and there alone.
    "hook_resid_post": ("resid_post",),
    "attn.hook_z": ("attn_z",),
    "attn.hook_out": ("attn_out",),
    "mlp.hook_out": ("mlp_out",),
    "hook_attn_out": ("attn_out_normed",),
    "hook_mlp_out": ("mlp_out_normed",),
    # modules of transformers, as Gemma Scope 2 and sparsify name them
    "": ("resid_post",),
    "output": ("resid_post",),
    "self_attn.o_proj.input": ("attn_z",),
    "self_attn": ("attn_out",),
    "attention": ("attn_out",),
    "attn": ("attn_out",),
    "mlp": ("mlp_out",),
    "self_attn.output": ("attn_out",),
    "mlp.output": ("mlp_out",),
    "post_attention_layernorm.output": ("attn_out_normed",),
    "post_feedforward_layernorm.output": ("mlp_out_normed",),
}
# One tensor, but in decoders that norm what a sublayer returns before it is added.
_SAME: Mapping[Site, Site] = {
    "attn_out": "attn_out_normed",
    "attn_out_normed": "attn_out",
    "mlp_out": "mlp_out_normed",
    "mlp_out_normed": "mlp_out",
}
_NORMED = re.compile(r"gemma-?[23]|olmo-?2")
_BLOCK = re.compile(r"^(?:[\w.]*\.)?(blocks|layers|h)\.(\d+)(?:\.(.+))?$")
_VISION = re.compile(r"\b(?:vision_\w+|visual)\.")
_SITE_NAMES: Mapping[str, Site] = {name: name for name in get_args(Site)}
# A factory's modules are called SITE.LAYER in what we write, dictionary_learning's SITE_layer_LAYER.
_OWN = re.compile(rf"^({'|'.join(_SITE_NAMES)})(?:\.|_layer_)(\d+)$")
# TransformerLens' names of models that are called otherwise on the hub.
_ALIASES: Mapping[str, str] = {
    "gpt2-small": "gpt2",
    "gpt-neo-small": "gpt-neo-125m",
    "gpt-j": "gpt-j-6b",
    **{f"llama-2-{size}{kind}": f"llama-2-{size}{kind}-hf" for size in ("7b", "13b", "70b") for kind in ("", "-chat")},
}
_SCOPE = re.compile(r"gemma-scope-(2b|9b|27b)-(pt|it)-(res|mlp|att)\b")
_SCOPE_HOOKS = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}


@dataclass(frozen=True)
class Trained:
    """Where an autoencoder was trained: null where its files do not say.

    `metadata` is all that they say of it; `differs` what of model, site and layer is another one than it is used on,
    and `other_model` the name of that model where it is another.
    """

    model: str | None = None
    hook: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False)
    differs: tuple[str, ...] = ()
    other_model: str | None = None

    def __str__(self) -> str:
        if self.model is None and self.hook is None:
            return "an unknown place"
        return f"{self.hook or 'an unknown hook'} of {self.model or 'an unknown model'}"

    @property
    def _names_kind(self) -> bool:
        """Whether it was trained here: then `model` is the kind of the model."""
        return self.metadata.get("dataset_path") == "" and "hf_hook_name" in self.metadata

    def used_on(self, models: Sequence[str], site: Site, layer: int) -> "Trained":
        """The same, compared with the place that it is used on; `models` are all names of the model there, the one that
        readers know it by first."""
        found: list[str] = []
        here = {plain_name(name) for name in models} | set(models if self._names_kind else ())
        if self.model is not None and plain_name(self.model) not in here and KIND + self.model not in here:
            found.append("model")
        if self.hook is not None:
            sites, at = hook_place(self.hook, self.model or "")
            found += ["site"] if site not in sites else []
            found += ["layer"] if at is not None and at != layer and site != "projector" else []
        return replace(self, differs=tuple(found), other_model=models[0] if "model" in found else None)


@dataclass(frozen=True)
class Elsewhere:
    """A layer's autoencoder, the two places in words, and what of model, site and layer differs."""

    layer: int
    trained_on: str
    used_on: str
    differs: Sequence[str]


def origin_words(found: Iterable[Elsewhere]) -> list[str]:
    """One sentence, without its full stop, for all layers whose autoencoders differ alike; others are passed over."""
    alike: dict[str, list[int]] = {}
    for one in found:
        if one.differs:
            was, here = (place.replace(f".{one.layer}.", ".{layer}.") for place in (one.trained_on, one.used_on))
            what = " and ".join(filter(None, [", ".join(one.differs[:-1]), one.differs[-1]]))
            words = f"trained on another {what} ({was}) than it is used on ({here})"
            alike.setdefault(words, []).append(one.layer)
    return [f"{_layers(layers)}: the autoencoder was {words}" for words, layers in alike.items()]


def origin_warnings(field: str, trained: Mapping[int, Trained], used_on: str) -> list[str]:
    """The same sentences for a field of the study and its autoencoders by layer."""
    found = [Elsewhere(layer, str(one), used_on, one.differs) for layer, one in trained.items()]
    return [f"{field}: {words}" for words in origin_words(found)]


def _layers(layers: Iterable[int]) -> str:
    unique = list(dict.fromkeys(layers))
    return f"layer{'s' if len(unique) > 1 else ''} {', '.join(map(str, unique))}"


def plain_name(name: str) -> str:
    """A model's name as it is compared: without its owner, in small letters, aliases of TransformerLens and Gemma
    Scope resolved."""
    plain = re.sub(r"[^a-z0-9.]+", "-", name.rstrip("/").rpartition("/")[2].lower()).strip("-")
    plain = re.sub(r"^meta-(?=llama)", "", plain)
    plain = re.sub(r"^gemma-v(?=\d)", "gemma-", plain)
    plain = re.sub(r"^(tinystories.*-\d)l(?=-\d)", r"\1layer", re.sub(r"^tiny-stories", "tinystories", plain))
    plain = re.sub(r"^(mistral-7b)$", r"\1-v0.1", plain)
    if plain.startswith("gemma"):
        plain = plain.removesuffix("-pt")
    return _ALIASES.get(plain, plain)


def hook_place(hook: str, model: str = "") -> tuple[tuple[Site, ...], int | None]:
    """The sites that a hook's name can mean (none of ours: empty), and its layer; null where it names none.

    What enters a block is what the one before it hands on: `blocks.9.hook_resid_pre` is resid_post of layer 8.
    """
    if own := _OWN.match(hook):
        return (_SITE_NAMES[own[1]],), int(own[2])
    if hook in _SITE_NAMES:
        return (_SITE_NAMES[hook],), None
    if "multi_modal_projector" in hook:
        return ("projector",), 0
    block = _BLOCK.match(hook)
    if block is None:
        return (), None
    if _VISION.search(hook):
        return (("vision_post",) if block[3] in (None, "output") else ()), int(block[2])
    layer, part = int(block[2]), block[3] or ""
    if part == "hook_resid_pre":
        return (("resid_post",), layer - 1) if layer else ((), None)
    sites = _SITES.get(part, ())
    if _NORMED.search(model.lower()):
        return sites[:1], layer
    return tuple(dict.fromkeys((*sites, *(_SAME[site] for site in sites if site in _SAME)))), layer


def read_trained(folder: Path) -> Trained:
    """What the files in an autoencoder's folder, whatever its layout, and its place say of where it was trained.

    Raises:
        BadInput: a configuration is no JSON object.
    """
    weights = weights_file(folder)
    if weights == SPARSIFY_WEIGHTS:
        return _sparsify(folder)
    if weights == GEMMA_SCOPE:
        return gemma_scope_place(folder)
    if weights == GEMMA_SCOPE_2:
        config = read_config(folder / GEMMA_SCOPE_2_CONFIG)
        return Trained(_text(config, "model_name"), _text(config, "hf_hook_point_in"), config)
    return _saelens(read_config(folder / CONFIG)) if (folder / CONFIG).is_file() else Trained()


def read_origin(folder: Path) -> dict[str, Any] | None:
    """Where an autoencoder in `folder`, written by `save_sae`, was trained and what it is used on (model_name,
    hook_name, used_on); null for one that was trained where it is used.

    Raises:
        BadInput: cfg.json is missing or no JSON object.
    """
    metadata = read_config(folder / CONFIG).get("metadata", {})
    return {name: metadata[name] for name in ("model_name", "hook_name", USED_ON)} if USED_ON in metadata else None


def _saelens(config: Mapping[str, Any]) -> Trained:
    """SAELens 6 keeps it below `metadata`, older ones among the other keys; ours may name transformers' module too."""
    found = {key: value for key, value in config.items() if key in _KEPT} | (config.get("metadata") or {})
    hook = _text(found, "hook_name") or _text(found, "hook_point") or _text(found, "hf_hook_name")
    layer = next((found[key] for key in ("hook_layer", "hook_point_layer") if found.get(key) is not None), None)
    if hook is not None and layer is not None:
        hook = hook.replace("{layer}", str(layer))
    return Trained(_text(found, "model_name"), hook, found)


_KEPT = (
    ("model_name", "hook_name", "hook_point", "hook_layer", "hook_point_layer", "hook_head_index", "hf_hook_name")
    + ("prepend_bos", "context_size", "dataset_path", "neuronpedia_id", "seqpos_slice")
    + ("sae_lens_version", "sae_lens_training_version", "model_from_pretrained_kwargs")
)


def _sparsify(folder: Path) -> Trained:
    """sparsify writes no place beside the weights: the folder is called by the module, and the run's configuration
    lies one folder up."""
    try:
        run = read_config(folder.parent / "config.json")
    except BadInput:
        run = {}
    named = folder.name if _BLOCK.match(folder.name) else None
    return Trained(_text(run, "model"), named, {"hook_name": named} if named else {})


def gemma_scope_place(folder: Path) -> Trained:
    """Gemma Scope 1 names it in its repositories' and folders' names alone."""
    scope = _SCOPE.search(hub_name(folder) or folder.as_posix())
    layer = next((part.removeprefix("layer_") for part in folder.parts if re.fullmatch(r"layer_\d+", part)), None)
    if scope is None or (layer is None and "embedding" not in folder.parts):
        return Trained()
    model = f"google/gemma-2-{scope[1]}{'-it' if scope[2] == 'it' else ''}"
    if layer is None:
        return Trained(model, "hook_embed")
    return Trained(model, f"blocks.{layer}.{_SCOPE_HOOKS[scope[3]]}")


def _text(config: Mapping[str, Any], key: str) -> str | None:
    value = config.get(key)
    return value if isinstance(value, str) and value else None
