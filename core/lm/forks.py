"""Several continuations of one sequence in one row of a batch: what each token sees, and the same as rows."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

_MASK = "attention_mask"


@dataclass(frozen=True)
class Fork:
    """Continuations of one sequence in one row: none sees another, and all stand where the first one does.

    `order` is each token's place among those that it can see, `side` 0 before the fork, 1, 2 and so on behind it.
    """

    order: Int[Tensor, "B T"]
    side: Int[Tensor, "B T"]

    @classmethod
    def at(cls, forks: Sequence[Sequence[int]], width: int, device: torch.device) -> "Fork":
        """Rows whose tokens from each later start on continue what stands before the first, for the starts of each row;
        the last one goes on to the end of its row."""
        most = max(map(len, forks))
        starts = torch.tensor([[*row, *[width] * (most - len(row))] for row in forks], device=device)
        place = torch.arange(width, device=device).expand(len(forks), -1)
        side = (place[:, :, None] >= starts[:, None, :]).sum(dim=2)
        begin = starts.gather(1, (side - 1).clamp(min=0))
        return cls(torch.where(side >= 2, place - begin + starts[:, :1], place), side)

    @property
    def sides(self) -> int:
        """The most continuations of a row, at least two."""
        return max(2, int(self.side.max()))

    def rows(self, chosen: slice, width: int) -> "Fork":
        """Some of the rows, cut to `width` tokens."""
        return Fork(self.order[chosen, :width], self.side[chosen, :width])

    def repeated(self, times: int) -> "Fork":
        """All rows, `times` times over."""
        return Fork(self.order.repeat(times, 1), self.side.repeat(times, 1))

    def mask(self, plain: Tensor | None) -> Tensor:
        """A block's attention mask [B, 1, T, T] (boolean or added to scores; null is causal), for the forked rows.

        Whatever the mask says of two places, window and image block included, it says of two tokens that stand there.

        Raises:
            ValueError: the mask is of another shape.
        """
        batch, width = self.order.shape
        if plain is None:
            plain = torch.ones(width, width, dtype=torch.bool, device=self.order.device).tril()[None, None]
        if plain.ndim != 4 or plain.shape[-2:] != (width, width):
            raise ValueError(f"its blocks take a mask of another shape ({list(plain.shape)}) than [B, 1, T, T]")
        plain = plain.expand(batch, *plain.shape[1:])
        heads = plain.shape[1]
        rows = self.order[:, None, :, None].expand(-1, heads, -1, width)
        columns = self.order[:, None, None, :].expand(-1, heads, width, -1)
        moved = plain.gather(2, rows).gather(3, columns)
        seen = (self.side[:, None, :] == 0) | (self.side[:, None, :] == self.side[:, :, None])
        hidden = False if plain.dtype == torch.bool else torch.finfo(plain.dtype).min
        return moved.masked_fill(~seen[:, None], hidden)

    def sequences(self, real: Bool[Tensor, "B T"]) -> Int[Tensor, "nB S"]:
        """Where in its row each token of each of n continuations stands: all first ones, then all second ones and so
        on; −1 is padding.

        A row that is not forked gives its sequence twice, and one of fewer continuations what stands before them.
        """
        width = int(self.order[real].max()) + 1
        place = torch.arange(self.order.shape[1], device=real.device).expand_as(self.order)
        found = []
        for side in range(1, self.sides + 1):
            own = real & ((self.side == 0) | (self.side == side))
            target = torch.where(own, self.order, width)  # all others meet in one more column, which is cut off
            empty = torch.full((len(place), width + 1), -1, dtype=place.dtype, device=real.device)
            found.append(empty.scatter(1, target, place)[:, :width])
        return torch.cat(found)

    def joined(self, states: Float[Tensor, "nB S D"]) -> Float[Tensor, "B T D"]:
        """The rows' states, given those of their `sequences`; padding gets any."""
        row = torch.arange(len(self.order), device=self.order.device)[:, None] + len(self.order) * (
            self.side - 1
        ).clamp(min=0)
        return states[row, self.order.clamp(max=states.shape[1] - 1)]


@contextmanager
def forked(blocks: nn.ModuleList, fork: Fork | None) -> Iterator[None]:
    """Hand every block the forked rows' mask in place of the one that the model made.

    Raises:
        ValueError: a block takes no attention mask, or is given one that cannot be exchanged.
    """
    known: dict[int, tuple[Any, Tensor]] = {}  # the model makes one a kind of layer; held, so that no id is reused

    def exchange(place: int, _block: nn.Module, inputs: Any, options: dict[str, Any]) -> Any:
        assert fork is not None
        plain = inputs[place] if place < len(inputs) else options.get(_MASK)
        if id(plain) not in known:
            known[id(plain)] = (plain, fork.mask(plain))
        mask = known[id(plain)][1]
        if place < len(inputs):  # GPT-2
            return (*inputs[:place], mask, *inputs[place + 1 :]), options
        return inputs, {**options, _MASK: mask}

    with ExitStack() as stack:
        for block in blocks if fork is not None else ():
            hook = partial(exchange, _place_of_mask(block))
            stack.callback(block.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield


def _place_of_mask(block: nn.Module) -> int:
    """Of the class's arguments: a block that only answers (`core.lm.patched`) takes any."""
    names = list(signature(type(block).forward).parameters)[1:]
    if _MASK not in names:
        raise ValueError(f"its blocks take no {_MASK}")
    return names.index(_MASK)
