"""Hook points by name, and hooks at them that never outlive their `with` block.

`blocks.17.hook_resid_post` is a point of layer 17 as TransformerLens calls it, where it means the same tensor there;
`resid_post.17` is the same point by the site's name here. `docs/toolkit.md` lists all of them.
"""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from jaxtyping import Bool, Float
from torch import Tensor, nn, where
from torch.utils.hooks import RemovableHandle

from core.errors import BadInput
from core.lm.hooks import edit, stream_of, with_stream
from core.lm.loaded import LoadedModel
from core.lm.sites import Point
from core.study.hook_names import HOOK_NAMES
from core.study.sites import VISION, Site, extent

ENTERS = "resid_pre"
"""What enters a block: the one point that is no site, for it is the site `resid_post` of the block below."""
_HEADS: Site = "attn_z"


@dataclass(frozen=True)
class Hook:
    """Where a hook is called: the point's name as it was asked for, its site and layer, and `start`, the number of
    tokens before this pass that stand in the model's cache (0 in a pass of its own)."""

    name: str
    site: str
    layer: int
    start: int


Stream = Float[Tensor, "B T *D"]
Function = Callable[[Stream, Hook], Stream | None]
"""What is called with a point's tensor and the `Hook`; a tensor that it returns takes the place of that one."""


@dataclass(frozen=True)
class HookPoint:
    """A named place of a model. With `heads`, its last axis is split into heads, [B, T, heads, d_head]."""

    name: str
    site: str
    layer: int
    place: Point
    heads: int | None = None


@dataclass
class _Before:
    """How many tokens stand in the cache of the pass that is running."""

    start: int = 0


def point_names(loaded: LoadedModel, sites: Collection[str] | None = None) -> list[str]:
    """The names of a model's hook points, TransformerLens' where there is one, in order of site and layer.

    Raises:
        BadInput: a site is unknown, or the model lacks its part.
    """
    if unknown := [site for site in sites or () if site not in (ENTERS, *get_args(Site))]:
        raise BadInput(f"site {unknown[0]!r}: there are {', '.join((ENTERS, *get_args(Site)))}")
    found: list[str] = []
    for site in sites if sites is not None else (ENTERS, *get_args(Site)):
        if sites is None and site in VISION and not loaded.shape.has_images:
            continue
        if site not in (ENTERS, *VISION):
            loaded.points(site)  # type: ignore[arg-type]  # refuses a model without this part
        found += [_name(site, layer) for layer in range(_layers(loaded, site))]
    return found


def find_point(loaded: LoadedModel, name: str) -> HookPoint:
    """The point of that name.

    Raises:
        BadInput: there is none, or the layer is beyond the model; the nearest name is told.
    """
    site, layer, split = _read_name(loaded, name)
    if not 0 <= layer < (count := _layers(loaded, site)):
        raise BadInput(f"hook point {name!r}: {site} has the layers 0 to {count - 1}")
    if site == ENTERS:
        return HookPoint(name, site, layer, Point(loaded.blocks[layer], "input"))
    return HookPoint(name, site, layer, loaded.points(site)[layer], _heads(loaded, name) if split else None)  # type: ignore[arg-type]


@contextmanager
def watched(loaded: LoadedModel, functions: Mapping[str, Function]) -> Iterator[None]:
    """Call each function at its point in every pass of the body; the functions of one point run in their order.

    Raises:
        BadInput: a name is no point of the model, before anything is hooked; or a function returned a tensor of
            another shape.
    """
    found = [(find_point(loaded, name), function) for name, function in functions.items()]
    before = _Before()
    with ExitStack() as stack:
        counting = loaded.base.register_forward_pre_hook(partial(_count, before), with_kwargs=True)
        stack.callback(counting.remove)
        for point, function in found:
            stack.callback(_attach(point, function, before).remove)
        yield


@contextmanager
def hooked(loaded: LoadedModel, functions: Mapping[str, Function]) -> Iterator[None]:
    """The same for functions that may change what they are given: the change is named, so that no keys and values that
    were made without it are used under it (`core.lm.hooks.edits`).

    Raises:
        BadInput: as `watched`.
    """
    with watched(loaded, functions), ExitStack() as stack:
        for point in [find_point(loaded, name) for name in functions]:
            layer = point.layer if point.site not in VISION else 0
            stack.enter_context(edit(loaded.blocks, layer, lambda stream: stream))
        yield


def limited(function: Function, chosen: Bool[Tensor, "B ..."]) -> Function:
    """The function, reaching the chosen rows [B] or positions [B, T] alone; all else stays as it is to the bit.

    Rows are reached in every pass. Positions are those of the pass that begins a sequence: tokens that follow behind a
    cache, as in generation, are left as they are.
    """

    def change(stream: Stream, hook: Hook) -> Stream | None:
        if chosen.ndim == 2 and hook.start:
            return None
        if chosen.ndim not in (1, 2) or stream.shape[: chosen.ndim] != chosen.shape:
            given, there = list(chosen.shape), list(stream.shape)
            raise BadInput(f"hook {hook.name}: chosen are {given}, the stream is {there}; give [B], or [B, T]")
        changed = function(stream.clone(), hook)
        reach = chosen.to(stream.device).view(*chosen.shape, *[1] * (stream.ndim - chosen.ndim))
        return None if changed is None else where(reach, changed.to(stream), stream)

    return change


def _name(site: str, layer: int) -> str:
    if site in VISION:
        return f"{site}.{layer}"
    return f"blocks.{layer}.{'hook_resid_pre' if site == ENTERS else HOOK_NAMES[site][0]}"  # type: ignore[index]


def _read_name(loaded: LoadedModel, name: str) -> tuple[str, int, bool]:
    """The site and layer that a name means, and whether heads are apart, as in TransformerLens' `hook_z`."""
    first, _, rest = name.partition(".")
    if first == "blocks":
        number, _, hook = rest.partition(".")
        named = {own: site for site, (own, _) in HOOK_NAMES.items()} | {"hook_resid_pre": ENTERS}
        if number.isdecimal() and hook in named:
            return named[hook], int(number), named[hook] == _HEADS
    elif first in (ENTERS, *get_args(Site)) and rest.isdecimal():
        return first, int(rest), False
    known = [_name(site, layer) for site in (ENTERS, *HOOK_NAMES) for layer in range(loaded.shape.num_layers)]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"names are {known[0]!r}, 'resid_post.0' and the like"
    raise BadInput(f"hook point {name!r}: the model has none of this name; {hint}")


def _layers(loaded: LoadedModel, site: str) -> int:
    return loaded.shape.num_layers if site == ENTERS else extent(loaded.shape, site).layers  # type: ignore[arg-type]


def _heads(loaded: LoadedModel, name: str) -> int:
    heads = getattr(loaded.text_config, "num_attention_heads", None)
    if not isinstance(heads, int) or loaded.width(_HEADS) % heads:
        raise BadInput(f"hook point {name!r}: config.json names no single number of heads; use {_HEADS}.N, unsplit")
    return heads


def _count(before: _Before, _module: nn.Module, _inputs: Any, options: Mapping[str, Any]) -> None:
    cache = options.get("past_key_values")
    before.start = 0 if cache is None else int(cache.get_seq_length())


def _attach(point: HookPoint, function: Function, before: _Before) -> RemovableHandle:
    module = point.place.module

    def changed(stream: Tensor) -> Tensor:
        seen = stream if point.heads is None else stream.view(*stream.shape[:-1], point.heads, -1)
        found = function(seen, Hook(point.name, point.site, point.layer, before.start))
        if found is None:
            return stream
        if found.shape != seen.shape:
            shapes = f"{list(found.shape)} for a stream of {list(seen.shape)}"
            raise BadInput(
                f"hook {point.name}: gives {shapes}; return a tensor of that shape, or None to change nothing"
            )
        return found.to(stream).reshape(stream.shape)

    def entering(_module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if inputs:
            return (changed(inputs[0]), *inputs[1:]), options
        return inputs, {**options, "hidden_states": changed(options["hidden_states"])}

    def leaving(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return with_stream(output, changed(stream_of(output)))

    if point.place.side == "input":
        return module.register_forward_pre_hook(entering, with_kwargs=True)
    return module.register_forward_hook(leaving)
