"""A model that transformers does not know, made by a function of one's own: `package.module:function`."""

import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from core.errors import BadInput, first_line
from core.lm.shape import ModelShape
from core.store.artifacts import sha256_file
from core.study.sites import Site

FIELD = "model.factory"


@dataclass(frozen=True)
class Encoded:
    """Samples as the module takes them.

    `inputs` are its keyword arguments, on the CPU; `mask` is true where there is an item and false on padding; `names`
    has, for each sample, what each of its items is called, in order.
    """

    inputs: Mapping[str, Any]
    mask: Bool[Tensor, "B T"]
    names: Sequence[Sequence[str]]


@dataclass(frozen=True)
class FactoryModel:
    """What a factory returns.

    `encode` is given rows of the study's samples (columns as in samples.parquet; `image` is the file's place, or null).
    `sites` are, by the names that `capture.site` knows, the modules whose outputs are read, one per layer in the order
    in which they run: `resid_post` is what the layers hand on. Each gives a tensor (or a tuple that begins with one)
    [B, T, D] with T as in the mask, and D = `d_model` at every site.
    """

    module: nn.Module
    encode: Callable[[Sequence[Mapping[str, Any]]], Encoded]
    sites: Mapping[Site, Sequence[nn.Module]]
    d_model: int

    @property
    def device(self) -> torch.device:
        """Where the module's first parameter is."""
        return next((parameter.device for parameter in self.module.parameters()), torch.device("cpu"))

    def layers_of(self, site: Site) -> Sequence[nn.Module]:
        """The modules of a site.

        Raises:
            BadInput: the factory does not name the site.
        """
        if not self.sites.get(site):
            there = ", ".join(self.sites) or "none"
            raise BadInput(
                f"{FIELD}: the model names no site {site} (it has {there}); correct capture.site or its `sites`"
            )
        return self.sites[site]


def open_factory(name: str, device: str = "cpu") -> FactoryModel:
    """Call the factory, and make its module ready for reading: evaluation mode, no gradients, on the device.

    Raises:
        BadInput: there is no such module or function, it fails, or it returns something else.
    """
    function = _find(name)
    try:
        model = function()
    except Exception as error:
        raise BadInput(f"{FIELD}: {name} failed ({type(error).__name__}: {first_line(error)})") from error
    if not isinstance(model, FactoryModel):
        raise BadInput(f"{FIELD}: {name} returned a {type(model).__name__}, not a core.lm.factory.FactoryModel")
    if not isinstance(model.module, nn.Module):
        raise BadInput(f"{FIELD}: {name}: `module` is a {type(model.module).__name__}, not a torch.nn.Module")
    inside = set(model.module.modules())
    for site, modules in model.sites.items():
        if not all(module in inside for module in modules):
            raise BadInput(f"{FIELD}: {name}: site {site} names a module that is not within `module`")
    model.module.to(device).eval().requires_grad_(False)
    return model


def factory_shape(name: str, site: Site) -> ModelShape:
    """What the plan must know of a factory's model; it has no images, for only its own `encode` knows of any.

    Raises:
        BadInput: as `open_factory`, or the site is not named.
    """
    model = open_factory(name)
    return ModelShape(len(model.layers_of(site)), model.d_model, False, 0, 0, name)


def factory_content(name: str, model: FactoryModel) -> str:
    """A hash of the factory's name, of the file that it stands in, and of every parameter and buffer of its module.

    Code that this file imports is not in it; weights are, wherever they come from.
    """
    digest = hashlib.sha256(name.encode())
    source = getattr(importlib.import_module(name.partition(":")[0]), "__file__", None)
    if source is not None:
        digest.update(sha256_file(Path(source)).encode())
    for key, tensor in sorted(model.module.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{key} {plain.dtype} {list(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:20]


def _find(name: str) -> Callable[[], object]:
    module, colon, attribute = name.partition(":")
    if not colon or not attribute:
        raise BadInput(f"{FIELD}: {name!r} names no function; write package.module:function")
    try:
        function = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        fix = "install its package where the study runs, or put its folder on PYTHONPATH"
        raise BadInput(f"{FIELD}: {name}: no module named {error.name!r}; {fix}") from error
    except Exception as error:
        raise BadInput(f"{FIELD}: {name}: its module cannot be imported ({first_line(error)})") from error
    if not callable(function):
        raise BadInput(f"{FIELD}: {name}: the module has no function {attribute!r}")
    return function  # type: ignore[no-any-return]
