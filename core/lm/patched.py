"""A forward pass resumed above one layer, from a residual stream that was changed there.

What lies above a patch is recomputed at every position, keys and values too (a clean cache under a patched stream
was 23 to 38 % off); what lies below, the vision tower included, is never computed again.
"""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.errors import BadInput
from core.lm.agreement import logits_of
from core.lm.batches import CAPTION, IMAGE, LAST_PROMPT, OUTSIDE, PROMPT, Fork, TokenBatch, build_batch
from core.lm.hooks import as_answer, capture
from core.lm.images import Picture, together
from core.lm.loaded import LoadedModel

_LEAVE_OUT = (
    "leave out what needs it (analyses: {ablation: null, amplification: null, visual_patterns: null, qualitative: "
    "null, overview: {spliced_images: 0}})"
)

__all__ = [
    "CAPTION",
    "IMAGE",
    "LAST_PROMPT",
    "OUTSIDE",
    "PROMPT",
    "TokenBatch",
    "build_batch",
    "clean_run",
    "embed",
    "run_embedded",
    "run_from",
    "run_full",
    "states_from",
]


def clean_run(loaded: LoadedModel, batch: TokenBatch, layers: Collection[int]) -> dict[int, Float[Tensor, "B T D"]]:
    """The residual stream after each of `layers`; the pass ends after the last of them."""
    with torch.no_grad(), _forked(loaded.blocks, batch.fork), capture(loaded.blocks, layers) as streams:
        loaded.base(**_arguments(batch), **_pixels(batch))
    return streams


def embed(loaded: LoadedModel, batch: TokenBatch) -> Float[Tensor, "B T D"]:
    """What enters block 0: the tokens' embeddings, the image's soft tokens in their places."""
    entered: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        entered.append(inputs[0] if inputs else options["hidden_states"])

    handle = loaded.blocks[0].register_forward_pre_hook(keep, with_kwargs=True)
    try:
        clean_run(loaded, batch, [0])
    finally:
        handle.remove()
    return entered[0]


def run_embedded(
    loaded: LoadedModel, batch: TokenBatch, entering: Float[Tensor, "B T D"], layers: Collection[int]
) -> dict[int, Float[Tensor, "B T D"]]:
    """The residual stream after each of `layers` when `entering` goes into block 0.

    Raises:
        BadInput: the model cannot be run from there.
    """
    _refuse_unresumable(loaded)

    def replace_input(_module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if inputs:
            return (entering, *inputs[1:]), options
        return inputs, {**options, "hidden_states": entering}

    arguments = _arguments(batch)
    del arguments["input_ids"]
    # Some models scale what they are handed as embeddings, so the stream is put in place behind that.
    handle = loaded.blocks[0].register_forward_pre_hook(replace_input, with_kwargs=True)
    try:
        with torch.no_grad(), _forked(loaded.blocks, batch.fork), capture(loaded.blocks, layers) as streams:
            loaded.base(inputs_embeds=entering, **arguments)
    finally:
        handle.remove()
    return streams


def run_full(loaded: LoadedModel, batch: TokenBatch) -> Float[Tensor, "B T D"]:
    """The final norm's output of the whole model; interventions through `core.lm.hooks.edit` take part."""
    with torch.no_grad(), _forked(loaded.blocks, batch.fork):
        states: Tensor = loaded.base(**_arguments(batch), **_pixels(batch)).last_hidden_state
    return states


def states_from(
    loaded: LoadedModel, batch: TokenBatch, layer: int, stream: Float[Tensor, "B T D"]
) -> Float[Tensor, "B T D"]:
    """The final norm's output when the stream after block `layer` is `stream`: only the blocks above it run.

    Raises:
        BadInput: the model cannot be run from there.
    """
    _refuse_unresumable(loaded)
    arguments = _arguments(batch)
    del arguments["input_ids"]
    with torch.no_grad(), _forked(loaded.blocks, batch.fork), _answering(loaded.blocks, layer, stream):
        states: Tensor = loaded.base(inputs_embeds=stream, **arguments).last_hidden_state
    return states


def run_from(
    loaded: LoadedModel, batch: TokenBatch, layer: int, stream: Float[Tensor, "B T D"]
) -> Float[Tensor, "B T V"]:
    """The logits when the stream after block `layer` is `stream`: equal to the full forward for the clean stream.

    Raises:
        BadInput: the model cannot be run from there, or makes its logits in a way that is not known here.
    """
    return logits_of(loaded, states_from(loaded, batch, layer, stream))


def _refuse_unresumable(loaded: LoadedModel) -> None:
    if loaded.unresumable:
        raise BadInput(f"model {loaded.folder} ({loaded.shape.model_type}): {loaded.unresumable}; {_LEAVE_OUT}")


@contextmanager
def _answering(blocks: nn.ModuleList, layer: int, stream: Tensor) -> Iterator[None]:
    """Every block up to `layer` answers with `stream`, so that the model's own code makes masks and rotary angles."""

    skipped = list(blocks[: layer + 1])
    for block in skipped:
        answer = as_answer(block, stream)
        block.forward = lambda *_inputs, answer=answer, **_options: answer
    try:
        yield
    finally:
        for block in skipped:
            del block.forward


@contextmanager
def _forked(blocks: nn.ModuleList, fork: Fork | None) -> Iterator[None]:
    """Hand every block the forked rows' mask in place of the one that the model made."""
    known: dict[int, tuple[Any, Tensor]] = {}  # the model makes one a kind of layer; held, so that no id is reused

    def exchange(_module: nn.Module, inputs: Any, options: dict[str, Any]) -> Any:
        assert fork is not None
        plain = options["attention_mask"]
        if id(plain) not in known:
            known[id(plain)] = (plain, fork.mask(plain))
        return inputs, {**options, "attention_mask": known[id(plain)][1]}

    with ExitStack() as stack:
        for block in blocks if fork is not None else ():
            stack.callback(block.register_forward_pre_hook(exchange, with_kwargs=True).remove)
        yield


def _arguments(batch: TokenBatch) -> dict[str, Any]:
    arguments: dict[str, Any] = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if batch.token_type_ids is not None:
        # Left out, the model raises nothing and reads the image causally.
        arguments["token_type_ids"] = batch.token_type_ids
    places = batch.position_ids
    if batch.fork is not None:
        order = batch.fork.order
        places = order if places is None else places.gather(-1, order.expand(places.shape))
    if places is not None:
        arguments["position_ids"] = places
    return {**arguments, "use_cache": False}


def _pixels(batch: TokenBatch) -> Picture:
    return together(batch.pictures or ())
