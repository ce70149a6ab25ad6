"""Greedy captions, clean or under an intervention that stays in force at every step."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from core.errors import BadInput
from core.lm.agreement import logits_of
from core.lm.hooks import edit
from core.lm.inputs import Start, behind, model_inputs
from core.lm.loaded import LoadedModel
from core.lm.patched import TokenBatch, build_batch
from core.lm.prompts import EncodedSample

Change = Callable[[Float[Tensor, "B T D"], Bool[Tensor, "B T"]], Float[Tensor, "B T D"]]
"""What an intervention makes of a stream, given the positions that it may reach."""
BATCH = 32
"""Prompts that run together."""


@dataclass(frozen=True)
class Intervention:
    """A change of the stream after block `layer`."""

    layer: int
    change: Change


@dataclass(frozen=True)
class Interventions:
    """Changes of the stream after block `layer`, one a prompt; prompts of different changes run together."""

    layer: int
    changes: Sequence[Change]

    def of(self, prompts: Sequence[int]) -> Intervention:
        """Those of some prompts as one change of the batch that these are the rows of."""
        rows: dict[int, list[int]] = {}
        for row, prompt in enumerate(prompts):
            rows.setdefault(id(self.changes[prompt]), []).append(row)
        parts = [(self.changes[prompts[some[0]]], some) for some in rows.values()]

        def change(stream: Float[Tensor, "B T D"], reach: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
            changed = torch.empty_like(stream)
            for own, some in parts:
                changed[some] = own(stream[some], reach[some])
            return changed

        return Intervention(self.layer, change)


def generate(
    loaded: LoadedModel,
    prompts: Sequence[EncodedSample],
    max_new_tokens: int,
    intervention: Intervention | Interventions | None = None,
) -> list[str]:
    """Continue each prompt with the likeliest token, until the turn ends or `max_new_tokens` are written.

    The prompt's keys and values are made under the intervention, and so is every token that follows: an intervention
    reaches the prompt's image and instruction tokens, its last position, and all that is generated.

    Raises:
        BadInput: nothing can be written with the model.
    """
    if loaded.unwritable:
        raise BadInput(f"model {loaded.folder}: {loaded.unwritable}; leave out `analyses.qualitative`")
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index].ids))
    texts: dict[int, str] = {}
    # Prompts of one length run together: no padding ever stands before a generated token.
    for _, same in groupby(order, key=lambda index: len(prompts[index].ids)):
        indices = list(same)
        for start in range(0, len(indices), BATCH):
            chosen = indices[start : start + BATCH]
            force = intervention.of(chosen) if isinstance(intervention, Interventions) else intervention
            ids = _continue(loaded, [prompts[index] for index in chosen], max_new_tokens, force)
            for index, row in zip(chosen, ids, strict=True):
                texts[index] = loaded.tokenizer.decode(row, skip_special_tokens=True).strip()
    return [texts[index] for index in range(len(prompts))]


def stop_ids(loaded: LoadedModel) -> set[int]:
    """Tokens that end a caption: those that the checkpoint's generation settings name, and the tokenizer's own."""
    settings: Any = getattr(loaded.model, "generation_config", None)
    named = getattr(settings, "eos_token_id", None)
    stops = set(named) if isinstance(named, list) else {named}
    return {int(token) for token in stops | {loaded.tokenizer.eos_token_id} if token is not None}


def _continue(
    loaded: LoadedModel, prompts: Sequence[EncodedSample], most: int, intervention: Intervention | None
) -> list[list[int]]:
    batch = build_batch(loaded, prompts)
    inputs = model_inputs(loaded, batch.input_ids, batch.attention_mask, prompts)
    start = behind(inputs["position_ids"], batch.input_ids.shape[1])
    return greedy(loaded, inputs, start, most, lambda step: _in_force(loaded, None if step else batch, intervention))


def _unchanged(_step: int) -> AbstractContextManager[None]:
    return nullcontext()


@torch.no_grad()
def greedy(
    loaded: LoadedModel,
    inputs: dict[str, Any],
    start: Start,
    most: int,
    in_force: Callable[[int], AbstractContextManager[None]] = _unchanged,
) -> list[list[int]]:
    """The tokens that the model writes behind its inputs, the likeliest at each step, up to the token that ends a text.

    Args:
        loaded: the model.
        inputs: arguments of the base model's forward, of rows of one length or padded on the left.
        start: the position of the first token written.
        most: tokens written at most.
        in_force: what holds during a step's pass; step 0 reads the inputs.
    """
    stops = torch.tensor(sorted(stop_ids(loaded)), device=loaded.device)
    cache = DynamicCache(config=loaded.text_config)
    mask = inputs["attention_mask"]
    running = torch.ones(len(mask), dtype=torch.bool, device=loaded.device)
    written: list[Int[Tensor, " B"]] = []
    for step in range(most):
        with in_force(step):
            output = loaded.base(**inputs, past_key_values=cache, use_cache=True)
        chosen = logits_of(loaded, output.last_hidden_state[:, -1]).argmax(dim=-1)
        running = running & ~torch.isin(chosen, stops)
        if not running.any():
            break
        written.append(torch.where(running, chosen, torch.full_like(chosen, -1)))
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        inputs = model_inputs(loaded, chosen[:, None], mask, [], start + step)
        inputs.pop(
            "token_type_ids", None
        )  # one token sees all before it; with types a mask is built, which takes longer
    rows = torch.stack(written, dim=1).tolist() if written else [[] for _ in range(len(mask))]
    return [[token for token in row if token >= 0] for row in rows]


def _in_force(
    loaded: LoadedModel, prompt: TokenBatch | None, intervention: Intervention | None
) -> AbstractContextManager[None]:
    if intervention is None:
        return nullcontext()
    change = intervention.change

    def reach(stream: Tensor) -> Tensor:
        everywhere = torch.ones(stream.shape[:2], dtype=torch.bool, device=stream.device)
        return change(stream, everywhere if prompt is None else prompt.patchable())

    return edit(loaded.blocks, intervention.layer, reach)
