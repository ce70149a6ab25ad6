"""A forward pass resumed above one layer, from a residual stream that was changed there.

What lies above a patch is recomputed at every position, keys and values too (a clean cache under a patched stream
was 23 to 38 % off); what lies below, the vision tower included, is never computed again.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.errors import BadInput
from core.lm.agreement import logits_of
from core.lm.batches import CAPTION, IMAGE, LAST_PROMPT, OUTSIDE, PROMPT, TokenBatch, build_batch
from core.lm.forks import Fork, forked
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
    "stream_from",
]


def clean_run(loaded: LoadedModel, batch: TokenBatch, layers: Collection[int]) -> dict[int, Float[Tensor, "B T D"]]:
    """The residual stream after each of `layers`; the pass ends after the last of them."""
    if fork := _parted_fork(loaded, batch):
        return _joined(fork, clean_run(loaded, batch.apart(), layers))
    with torch.no_grad(), forked(loaded.blocks, batch.fork), capture(loaded.blocks, layers) as streams:
        loaded.base(**_arguments(batch), **_pixels(batch))
    return streams


def embed(loaded: LoadedModel, batch: TokenBatch) -> Float[Tensor, "B T D"]:
    """What enters block 0: the tokens' embeddings, the image's soft tokens in their places."""
    if fork := _parted_fork(loaded, batch):
        return fork.joined(embed(loaded, batch.apart()))
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
    if fork := _parted_fork(loaded, batch):
        return _joined(fork, run_embedded(loaded, batch.apart(), batch.parted(entering), layers))

    def replace_input(_module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if inputs:
            return (entering, *inputs[1:]), options
        return inputs, {**options, "hidden_states": entering}

    handle = loaded.blocks[0].register_forward_pre_hook(replace_input, with_kwargs=True)
    try:
        with torch.no_grad(), forked(loaded.blocks, batch.fork), capture(loaded.blocks, layers) as streams:
            loaded.base(**_arguments(batch))
    finally:
        handle.remove()
    return streams


def run_full(loaded: LoadedModel, batch: TokenBatch) -> Float[Tensor, "B T D"]:
    """The final norm's output of the whole model; interventions through `core.lm.hooks.edit` take part."""
    if fork := _parted_fork(loaded, batch):
        return fork.joined(run_full(loaded, batch.apart()))
    with torch.no_grad(), forked(loaded.blocks, batch.fork):
        states: Tensor = loaded.base(**_arguments(batch), **_pixels(batch)).last_hidden_state
    return states


def states_from(
    loaded: LoadedModel, batch: TokenBatch, layer: int, stream: Float[Tensor, "B T D"]
) -> Float[Tensor, "B T D"]:
    """The final norm's output when the stream after block `layer` is `stream`: only the blocks above it run.

    Raises:
        BadInput: the model cannot be run from there.
    """
    if fork := _parted_fork(loaded, batch):
        return fork.joined(states_from(loaded, batch.apart(), layer, batch.parted(stream)))
    states: Tensor = _run_above(loaded, batch, layer, stream).last_hidden_state
    return states


def stream_from(
    loaded: LoadedModel, batch: TokenBatch, layer: int, stream: Float[Tensor, "B T D"], above: int
) -> Float[Tensor, "B T D"]:
    """The residual stream after block `above` when that after the lower block `layer` is `stream`.

    Raises:
        BadInput: the model cannot be run from there.
    """
    if fork := _parted_fork(loaded, batch):
        return fork.joined(stream_from(loaded, batch.apart(), layer, batch.parted(stream), above))
    with capture(loaded.blocks, [above]) as streams:
        _run_above(loaded, batch, layer, stream)
    return streams[above]


def _run_above(loaded: LoadedModel, batch: TokenBatch, layer: int, stream: Tensor) -> Any:
    _refuse_unresumable(loaded)
    # The tokens go along: masks and angles are made from them, and in Gemma 4 what each block adds.
    with torch.no_grad(), forked(loaded.blocks, batch.fork), _answering(loaded.blocks, layer, stream):
        return loaded.base(**_arguments(batch))


def _parted_fork(loaded: LoadedModel, batch: TokenBatch) -> Fork | None:
    """The batch's fork, where this model has to run its two sides as rows of their own."""
    return batch.fork if loaded.forks_apart else None


def _joined(fork: Fork, streams: Mapping[int, Tensor]) -> dict[int, Tensor]:
    return {layer: fork.joined(stream) for layer, stream in streams.items()}


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
