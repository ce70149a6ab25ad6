"""An activation cache: what hook points gave, in a stated number of bytes, gone with its `with` block."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import BadInput
from core.lm.hook_points import Hook, watched
from core.lm.loaded import LoadedModel

LIMIT = 1 << 30
"""Most that a cache keeps in memory unless another number is given: 1 GiB."""


class ActivationCache(Mapping[str, Tensor]):
    """What some hook points gave in the passes of a `with` block, by the names that were asked for.

    `cache[name]` is a point's tensor [B, T, D] of the pass that ran; the steps of a generation are one pass, joined
    along its tokens. Of several passes `passes(name)` has each. Kept are copies, so that no later hook changes them.

    The rule of its memory: tensors are kept in the order in which they come, while all kept ones together take at most
    `limit` bytes. One that does not fit is refused, which ends the pass; with a folder to spill to it is written there,
    and read from its file whenever it is asked for. Joining the steps of a generation takes its size once more.
    """

    def __init__(self, names: Sequence[str], limit: int = LIMIT, spill: Path | None = None) -> None:
        self.limit, self._spill = limit, spill
        self._kept: dict[str, list[list[Tensor | Path]]] = {name: [] for name in names}
        self._open = True

    @property
    def nbytes(self) -> int:
        """Bytes kept in memory."""
        every = (part for passes in self._kept.values() for steps in passes for part in steps)
        return sum(part.nbytes for part in every if isinstance(part, Tensor))

    @property
    def spilled(self) -> int:
        """Tensors that were written to files."""
        every = (part for passes in self._kept.values() for steps in passes for part in steps)
        return sum(isinstance(part, Path) for part in every)

    def passes(self, name: str) -> list[Float[Tensor, "B T *D"]]:
        """The point's tensor of each pass, in order.

        Raises:
            BadInput: the cache is closed, or was not asked for this point.
        """
        if not self._open:
            raise BadInput(f"activation cache: {name!r} is gone with its `with` block; read it inside, or clone it")
        if name not in self._kept:
            raise BadInput(f"activation cache: {name!r} was not asked for; it has {', '.join(self._kept)}")
        return [_joined(steps) for steps in self._kept[name]]

    def __getitem__(self, name: str) -> Float[Tensor, "B T *D"]:
        found = self.passes(name)
        if len(found) != 1:
            fix = "run the model inside the block" if not found else f"read them with passes({name!r})"
            raise BadInput(f"activation cache: {len(found)} passes have run through {name!r}; {fix}")
        return found[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, stream: Float[Tensor, "B T *D"], hook: Hook) -> None:
        """Keep a point's tensor: what `watched` calls.

        Raises:
            BadInput: it does not fit, and there is nowhere to spill to.
        """
        passes = self._kept[hook.name]
        if not hook.start or not passes:
            passes.append([])
        size = stream.numel() * stream.element_size()
        if self.nbytes + size <= self.limit:
            passes[-1].append(stream.detach().clone())
        elif self._spill is None:
            raise BadInput(
                f"activation cache: {hook.name} takes {size:,} bytes and {self.nbytes:,} of {self.limit:,} are taken; "
                "raise limit, ask for fewer points or rows, or name a folder to spill to"
            )
        else:
            path = self._spill / f"{self.spilled}.safetensors"
            save_file({"kept": stream.detach().contiguous()}, path)
            passes[-1].append(path)

    def close(self) -> None:
        """Let all of it go."""
        self._open = False
        self._kept = {name: [] for name in self._kept}


@contextmanager
def cached(
    loaded: LoadedModel, names: Sequence[str], limit: int = LIMIT, spill: Path | None = None
) -> Iterator[ActivationCache]:
    """Keep what the points of these names give in the passes of the body; it is let go at the body's end, and so are
    the files below `spill`, also after an exception.

    Raises:
        BadInput: a name is no point of the model, something does not fit, or the folder is not there.
    """
    if spill is not None and not spill.is_dir():
        raise BadInput(f"activation cache: spill: {spill} is no folder; make it, or name another")
    with TemporaryDirectory(prefix="saeflow-cache-", dir=spill) if spill else _nowhere() as folder:
        cache = ActivationCache(names, limit, Path(folder) if folder else None)
        try:
            with watched(loaded, dict.fromkeys(names, cache.take)):
                yield cache
        finally:
            cache.close()


@contextmanager
def _nowhere() -> Iterator[None]:
    yield None


def _joined(steps: Sequence[Tensor | Path]) -> Tensor:
    parts = [load_file(step)["kept"] if isinstance(step, Path) else step for step in steps]
    return parts[0] if len(parts) == 1 else torch.cat([part.to(parts[0].device) for part in parts], dim=1)
