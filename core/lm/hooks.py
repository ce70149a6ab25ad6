"""Residual streams read off a model's blocks, by hooks that never outlive their `with` block."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from core.lm.sites import Point
from core.study.sites import STREAM, Site

Places = nn.ModuleList | Sequence[Point]
"""Where each layer is read: after its block, or at the points of a site."""
Stream = Float[Tensor, "B T D"]
Keep = Callable[[int, Stream], Tensor]
"""What of a layer's states is kept, given its number and them; the rest is let go before the next layer runs."""
_EDITS: WeakKeyDictionary[nn.Module, tuple[int, ...]] = WeakKeyDictionary()
_TUPLES: WeakSet[type] = WeakSet()
"""Classes of modules that were seen to return tuples (GPT-J's blocks)."""


class _Enough(Exception):
    """The last block asked for has run; raised by its hook and caught by `capture` alone."""


class NotRun(RuntimeError):
    """A layer that was to be read has not run, or not before the last one asked for."""


def whole(_layer: int, stream: Stream) -> Stream:
    """Keep all of it."""
    return stream


@dataclass(frozen=True)
class Reading:
    """What is read of a forward pass: one site of some layers, and what is kept of each."""

    layers: Collection[int]
    site: Site = STREAM
    keep: Keep = whole


def stream_of(output: Any) -> Stream:
    """The residual stream in a block's output: the tensor itself (transformers 5) or the first of a tuple (older)."""
    stream: Tensor = output[0] if isinstance(output, tuple) else output
    return stream


def as_answer(block: nn.Module, stream: Stream) -> Any:
    """The stream in the form in which blocks of this class answer, as far as one was seen."""
    return (stream,) if type(block) in _TUPLES else stream


def with_stream(output: Any, stream: Stream) -> Any:
    """The block's output with its residual stream replaced, plain or tuple as it came."""
    return (stream, *output[1:]) if isinstance(output, tuple) else stream


@contextmanager
def capture(places: Places, layers: Collection[int], keep: Keep = whole) -> Iterator[dict[int, Tensor]]:
    """Collect what is kept of the stream after each of `layers`, [B, T, D], and end the forward pass after the last.

    `places` are the blocks, or a site's points in them (`core.lm.sites`), whose tensors are then collected instead.

    The `with` body holds the forward call alone: whatever follows it there is skipped, and a cache that the call
    filled is filled up to the last layer only. The last block's stream is the one before the final norm.

    Raises:
        NotRun: the body ended without every layer having run.
    """
    streams: dict[int, Tensor] = {}
    last = max(layers)

    def take(layer: int, stream: Tensor) -> None:
        streams[layer] = keep(layer, stream)
        if layer == last:
            raise _Enough

    with ExitStack() as stack:
        for layer in sorted(layers):
            stack.callback(_watch(places[layer], partial(take, layer)).remove)
        with suppress(_Enough):
            yield streams
    _require(streams, layers)


@contextmanager
def observe(places: Places, layers: Collection[int]) -> Iterator[dict[int, Tensor]]:
    """Collect each layer's stream, or what its point gives, [B, T, D], from a forward pass that runs to its end."""
    streams: dict[int, Tensor] = {}
    with ExitStack() as stack:
        for layer in sorted(layers):
            stack.callback(_watch(places[layer], partial(streams.__setitem__, layer)).remove)
        yield streams


@contextmanager
def edit(blocks: nn.ModuleList, layer: int, change: Callable[[Stream], Stream]) -> Iterator[None]:
    """Replace the stream after block `layer` by `change(stream)`, [B, T, D] → [B, T, D], in every pass of the body."""

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return with_stream(output, change(stream_of(output)))

    block = blocks[layer]
    handle = block.register_forward_hook(hook)
    before = _EDITS.get(block, ())
    _EDITS[block] = (*before, handle.id)
    try:
        yield
    finally:
        handle.remove()
        _EDITS[block] = before


def edits(blocks: nn.ModuleList) -> frozenset[int]:
    """Names of the changes now in force on the blocks: keys and values made under some serve under the same alone."""
    return frozenset(name for block in blocks for name in _EDITS.get(block, ()))


def _watch(place: nn.Module | Point, take: Callable[[Tensor], None]) -> RemovableHandle:
    point = place if isinstance(place, Point) else Point(place)
    if point.side == "input":
        return point.module.register_forward_pre_hook(lambda _module, inputs: take(inputs[0].detach()))

    def see(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, tuple):
            _TUPLES.add(type(module))
        take(stream_of(output).detach())

    return point.module.register_forward_hook(see)


def _require(streams: dict[int, Tensor], layers: Collection[int]) -> None:
    missing = sorted(set(layers) - set(streams))
    if missing:
        raise NotRun(f"layers {missing} did not run inside `capture`; its body must call the model")
