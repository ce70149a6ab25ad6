"""What lies beside a pickled autoencoder's tensors, in its file or a configuration: what may change its computing is
refused.

A setting is known by the words of its name; one that scales, shifts or normalises the input must say that it does not.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import BadInput

_CHANGES_TEXT = """
    normalize normalise normalization normalisation normalized normalised normalizer norm layernorm standardize
    standardise standardized standardised standardization mean means std stds stddev var scale scales scaling scaled
    scaler rescale whiten whitening whitened signed clamp offset shift skip transcode transcoder
"""
# Of training, whatever is scaled or normalised there; the decoder's norm lies in its weights.
_TRAINING_TEXT = """
    decoder dec loss losses lr grad grads gradient gradients amp sparsity penalty init initial noise aux auxk ghost
    l0 l1 l2 mse fvu r2 optimizer optim scheduler history metric metrics eval warmup resample reinit train val
"""
_HARMLESS_TEXT = """
    adam alpha architecture args author autocast bandwidth batch batches best beta beta1 beta2 betas bias bos cfg
    checkpoint checkpoints class coeff coefficient comment commit config context count counts cosine created created_at
    cuda d data dataset date dead decay description device dict dictionary dim dims dtype ema epoch epochs eps epsilon
    ev expansion experiment explained factor feature features final fired firing freq frequency gender genders gpu
    group groups hidden hook hyperparameters hparams id image images iter iteration iterations k lambda language
    languages latent latents layer layers learning lm log logging loader logs model models momentum multi n name names
    notes num out output path patience project ratio reconstruction result results rng run sae sample samples save
    saved seed sequence site size source split stats steps step stop stopping study submodule summary tags target task
    tie tied time timestamp token tokens top topk torch total trained trainer training type validation variance
    version wandb weight weights width workers git host hostname user verbose early position patch
"""
_CHANGES, _OF_TRAINING = frozenset(_CHANGES_TEXT.split()), frozenset(_TRAINING_TEXT.split())
_OF_INPUT = frozenset({"act", "acts", "activation", "activations", "input", "inputs"})
_HARMLESS = _OF_TRAINING | _OF_INPUT | frozenset(_HARMLESS_TEXT.split())
_KNOWN = ("centred", "centered", "apply_b_dec_to_input")
_OF_CONFIGS = frozenset({"config", "cfg", "args", "hparams", "settings", "options", "train"})
_COUNTS = frozenset({"rng", "fired", "firing", "dead", "freq", "frequency", "count", "counts"})
_FACTOR = frozenset({"factor", "factors", "type", "method", "mode"})
_Items = Iterable[tuple[Any, Any]]


def refuse_changes(path: Path, content: Mapping[Any, Any], state: str | None) -> None:
    """Look through all of a file but the tensors of its state: `content[state]`, or the content itself.

    Raises:
        BadInput: a tensor lies elsewhere, or a setting may change what the autoencoder computes.
    """
    for name, value in content.items():
        if state is not None and name == state:
            _refuse(path, ((key, item) for key, item in value.items() if not isinstance(item, Tensor)))
        elif state is not None or not isinstance(value, Tensor):
            _refuse(path, [(name, value)])


def refuse_scaling(path: Path, config: Mapping[Any, Any], above: str = "") -> None:
    """Look through a configuration, which may be of a whole run, for what scales, shifts or normalises activations.

    Raises:
        BadInput: a setting says that it is done.
    """
    for key, value in config.items():
        words = _words(str(key))
        if words & _CHANGES and (words & _OF_INPUT or words <= _CHANGES | _FACTOR):
            _refuse_change(path, f"{above}{key}", words, value)
        else:
            for name, inner in _inner(f"{above}{key}", value):
                refuse_scaling(path, inner, name)


def _refuse(path: Path, items: _Items, above: str = "") -> None:
    for key, value in items:
        name, words = f"{above}{key}", _words(str(key))
        if words & _CHANGES and (words & _OF_INPUT or not words & _OF_TRAINING):
            _refuse_change(path, name, words, value)
        elif words & _OF_TRAINING and str(key).lower() not in _KNOWN:  # an optimiser's state, losses
            for place, inner in _inner(name, value) if words & _OF_CONFIGS else ():
                refuse_scaling(path, inner, place)
        elif inside := list(_inner(name, value)):
            for place, inner in inside:
                _refuse(path, inner.items(), place)
        elif _has_tensor(value):
            if not words & _COUNTS:
                raise BadInput(f"{path}: tensor {name} lies outside the SAE's state, and is not read; save without it")
        elif value is not None and not words & _HARMLESS and str(key).lower() not in _KNOWN:
            raise BadInput(
                f"{path}: setting {name} is not known and may change what the SAE computes; save without it where it "
                "does not"
            )


def _inner(name: str, value: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """The mappings that a value is or lists, each with the beginning of its settings' names."""
    if isinstance(value, Mapping):
        yield f"{name}.", value
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _inner(f"{name}[{number}]", item)


def _refuse_change(path: Path, name: str, words: set[str], value: Any) -> None:
    if not _neutral(words, value):
        shown = f" ({value!r})" if isinstance(value, str | int | float) else ""
        raise BadInput(
            f"{path}: {name}{shown} may change what the SAE computes, and is not read; fold it into the weights, or "
            "save without it where it changes nothing"
        )


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()))


def _neutral(words: set[str], value: Any) -> bool:
    """Whether it says that nothing is done: no, none, a factor of 1, a mean of 0."""
    nothing = 0 if words & {"mean", "means", "offset", "shift"} else 1
    if isinstance(value, Tensor):
        return bool((value == nothing).all())
    if value is None or isinstance(value, bool | str | Mapping):
        return not value or str(value).lower() in ("none", "no", "false", "off", "identity")
    if isinstance(value, list | tuple):
        return all(_neutral(words, item) for item in value)
    return isinstance(value, int | float) and value == nothing


def _has_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, list | tuple) and any(map(_has_tensor, value)))


def refuse_odd_tensors(path: Path, state: Mapping[Any, Any]) -> None:
    """Only dense tensors that have their numbers, under names.

    Raises:
        BadInput: there is another.
    """
    for name, value in state.items():
        if isinstance(value, Tensor):
            if not isinstance(name, str):
                raise BadInput(f"{path}: a tensor is called {name!r}, no text; save a state_dict")
            if value.layout is not torch.strided or value.is_meta:
                what = "has no numbers (device meta)" if value.is_meta else f"is stored as {value.layout}"
                raise BadInput(f"{path}: {name} {what}; save it dense, from the CPU")
