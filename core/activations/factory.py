"""A shard of samples through a model of one's own: a row for each item that its mask keeps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.activations.budget import PASS, TokenBudget
from core.activations.capture import ShardSummary, write_shard
from core.activations.items import ITEM, Items, lay_out_items
from core.activations.passes import Batch, KeepOf, Shard, whole_of
from core.activations.requests import CaptureJob, Drop
from core.activations.rows import Key
from core.errors import BadInput
from core.lm.factory import FIELD, Encoded, FactoryModel
from core.lm.hooks import NotRun, Reading, capture
from core.lm.prefix import States
from core.lm.sites import Point
from core.progress import Progress, silent
from core.study.layers import resolve_layers
from core.study.sites import Site

Row = dict[str, Any]


@dataclass(frozen=True)
class ItemPasses:
    """Samples through the module, `lengths` items each."""

    model: FactoryModel
    samples: tuple[Row, ...]
    lengths: tuple[int, ...]
    layers: tuple[int, ...]
    site: Site

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.model.device

    def sequences(self, number: int) -> int:
        """A sample counts as one."""
        return 1

    def longest(self, number: int) -> int:
        """Items of a sample."""
        return self.lengths[number]

    def plan(self, token_budget: int, most: int | None, numbers: Sequence[int]) -> list[Batch]:
        """Samples of like length together, at most `token_budget` items a pass, padding included."""
        batches: list[Batch] = []
        together: list[int] = []
        for number in sorted(numbers, key=lambda number: (self.lengths[number], number)):
            full = (len(together) + 1) * self.lengths[number] > token_budget or len(together) == most
            if together and full:
                batches.append(Batch(tuple(together), ()))
                together = []
            together.append(number)
        return [*batches, Batch(tuple(together), ())] if together else batches

    def expect(self, batches: Sequence[Batch]) -> None:
        """Nothing: only `encode` knows what a batch needs."""

    def run(self, batch: Batch, keep_of: KeepOf = whole_of) -> Iterator[tuple[tuple[Key, ...], States]]:
        """The samples of a batch in one pass, each one's items moved to the front."""
        encoded = encode(self.model, [self.samples[number] for number in batch.groups])
        for number, count in zip(batch.groups, encoded.mask.sum(dim=1).tolist(), strict=True):
            if count != self.lengths[number]:
                raise BadInput(
                    f"{FIELD}: `encode` gives sample {self.samples[number]['sample_id']} {count} items in this batch "
                    f"and {self.lengths[number]} before; it must not depend on the samples beside it"
                )
        keys = tuple((number, None) for number in batch.groups)
        mask, kept = encoded.mask.to(self.device), keep_of(keys)
        reading = Reading(self.layers, self.site, lambda layer, state: kept(layer, _forward(state, mask)))
        yield keys, run_module(self.model, encoded, reading)

    def exact(self) -> None:
        """Only its factory knows in which precision a module of one's own should run."""


def capture_items(model: FactoryModel, job: CaptureJob, out: Path, progress: Progress = silent) -> ShardSummary:
    """Run the module over the job's samples and write the rows of their items, in a folder as `capture_shard` writes.

    Rows stand in the group `shared` with language null and segment `item`, `position` counting a sample's items.
    Captions mean nothing here but what `encode` makes of them; a sample without items is left out.

    Raises:
        BadInput: the model names no such site or layer, or it gives something of another shape than it promised.
        OSError: the disk is full.
    """
    if job.config.nonfinite == "recompute":
        raise BadInput(f"capture.nonfinite: recompute opens a checkpoint again; with {FIELD} use fail or drop")
    layers = resolve_layers(job.config.layers, len(model.layers_of(job.config.site)), "capture.layers")
    shard = _lay_out(model, job, layers)
    budget = TokenBudget(job.config.token_budget or PASS)
    return write_shard(shard, out, budget, progress)


def encode(model: FactoryModel, samples: Sequence[Row]) -> Encoded:
    """The samples as the module takes them.

    Raises:
        BadInput: `encode` returns something else than it should.
    """
    try:
        encoded = model.encode(samples)
    except Exception as error:  # whatever it is, it is the factory's own
        raise BadInput(f"{FIELD}: `encode` failed on {len(samples)} samples ({error!r})") from error
    if not isinstance(encoded, Encoded):
        raise BadInput(f"{FIELD}: `encode` returned a {type(encoded).__name__}, not a core.lm.factory.Encoded")
    mask = encoded.mask
    if mask.dtype != torch.bool or mask.ndim != 2 or len(mask) != len(samples):
        told = f"{str(mask.dtype).removeprefix('torch.')} {list(mask.shape)}"
        raise BadInput(f"{FIELD}: the mask of `encode` is {told} for {len(samples)} samples; it must be bool [B, T]")
    counts = [len(names) for names in encoded.names]
    if counts != mask.sum(dim=1).tolist():
        raise BadInput(f"{FIELD}: `encode` names {counts} items, and its mask keeps {mask.sum(dim=1).tolist()}")
    return encoded


@torch.inference_mode()
def run_module(model: FactoryModel, encoded: Encoded, reading: Reading) -> States:
    """What the reading keeps of each layer, [B, T, D], from a pass that ends after the last of them.

    Raises:
        BadInput: a layer gives another shape.
    """
    inputs = {
        name: value.to(model.device) if isinstance(value, Tensor) else value for name, value in encoded.inputs.items()
    }
    site, expected = reading.site, [*encoded.mask.shape, model.d_model]

    def keep(layer: int, state: Tensor) -> Tensor:
        if list(state.shape) != expected:
            raise BadInput(f"{FIELD}: layer {layer} of {site} gives {list(state.shape)}, not [B, T, D] = {expected}")
        return reading.keep(layer, state)

    try:
        with capture([Point(module) for module in model.layers_of(site)], reading.layers, keep) as states:
            model.module(**inputs)
    except NotRun as error:
        raise BadInput(f"{FIELD}: the module's pass does not run {site} layer by layer in order ({error})") from error
    except (BadInput, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever it is, it is the factory's own
        raise BadInput(f"{FIELD}: the module failed on what `encode` gave ({error!r})") from error
    return states


def _forward(state: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
    """Each sequence's real items first, in their order, wherever its padding stands."""
    order = torch.argsort((~mask).to(torch.uint8), dim=1, stable=True)
    return state.gather(1, order[:, :, None].expand_as(state))


def _lay_out(model: FactoryModel, job: CaptureJob, layers: tuple[int, ...]) -> Shard:
    rows = [_with_image(row, job.images) for row in job.samples.sort("image_id", "sample_id").iter_rows(named=True)]
    names = encode(model, rows).names if rows else ()
    kept = [(row, tuple(own)) for row, own in zip(rows, names, strict=True) if len(own)]
    drops = tuple(Drop(row["sample_id"], "", "has no items") for row, own in zip(rows, names, strict=True) if not own)
    samples = tuple(row for row, _ in kept)
    items = [Items(row["sample_id"], row["image_id"], range(len(own)), own, (False,) * len(own)) for row, own in kept]
    site, lengths = job.config.site, tuple(len(own) for _, own in kept)
    dtype = next((str(tensor.dtype) for tensor in model.module.parameters()), "torch.float32")
    return Shard(
        layout=lay_out_items(items, ITEM, job.config.pool),
        passes=ItemPasses(model, samples, lengths, layers, site),
        layers=layers,
        config=job.config,
        width=model.d_model,
        compute_dtype=dtype.removeprefix("torch."),
        attention="its own",
        images=tuple(row["image_id"] for row in samples),
        drops=drops,
    )


def _with_image(row: Row, images: Path | None) -> Row:
    image = row.get("image")
    return {**row, "image": str(images / image) if image is not None and images is not None else None}
