"""A shard of images alone: the vision tower's patches, or the projector's soft tokens, every image once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from core.activations.items import Items, lay_out_items
from core.activations.passes import Batch, KeepOf, Shard, whole_of
from core.activations.requests import CaptureJob, Drop
from core.activations.rows import Key
from core.errors import BadInput
from core.lm.hooks import Reading
from core.lm.images import read_ahead
from core.lm.loaded import LoadedModel
from core.lm.loading import in_float32
from core.lm.prefix import States
from core.lm.vision import ImageRows, encode_images, image_rows
from core.study.sites import Site


@dataclass(frozen=True)
class ImagePasses:
    """Images through the vision tower, each with as many patches as any other."""

    loaded: LoadedModel
    images: tuple[Path, ...]
    layers: tuple[int, ...]
    site: Site
    rows: ImageRows

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.loaded.device

    def sequences(self, number: int) -> int:
        """An image counts as one."""
        return 1

    def longest(self, number: int) -> int:
        """Patches of an image."""
        return self.rows.cost

    def plan(self, token_budget: int, most: int | None, numbers: Sequence[int]) -> list[Batch]:
        """As many images together as the budget has room for their patches, one at least."""
        size = max(1, token_budget // self.rows.cost)
        size = min(size, most or size)
        portions = [tuple(numbers[start : start + size]) for start in range(0, len(numbers), size)]
        return [Batch(portion, ()) for portion in portions]

    def expect(self, batches: Sequence[Batch]) -> None:
        """Read the batches' images ahead."""
        read_ahead(self.loaded, [self.images[number] for batch in batches for number in batch.groups])

    def run(self, batch: Batch, keep_of: KeepOf = whole_of) -> Iterator[tuple[tuple[Key, ...], States]]:
        """The images of a batch, in one pass."""
        keys = tuple((number, None) for number in batch.groups)
        paths = [self.images[number] for number in batch.groups]
        usual, kept = len(self.rows.names), keep_of(keys)

        def keep(layer: int, state: Tensor) -> Tensor:
            if state.shape[1] != usual:
                raise BadInput(
                    f"image {paths[0]}: gives {state.shape[1]} rows of {self.site}, and the shard's first image "
                    f"{usual}; a model whose images have unequally many patches cannot be read there"
                )
            return kept(layer, state)

        yield keys, encode_images(self.loaded, paths, Reading(self.layers, self.site, keep))

    def exact(self) -> "ImagePasses | None":
        """The same images through the model in float32."""
        exact = in_float32(self.loaded)
        return None if exact is None else replace(self, loaded=exact)


def image_shard(loaded: LoadedModel, job: CaptureJob, layers: tuple[int, ...]) -> Shard:
    """Lay the images of the job out, one after the other; samples without one are left out.

    Raises:
        BadInput: none has an image, the model takes none, or one cannot be read.
    """
    site = job.config.site
    if job.images is None:
        raise BadInput(f"capture.site: {site} is read of images, and the study has none; capture resid_post")
    rows = job.samples.sort("image_id", "sample_id")
    missing = rows.filter(pl.col("image").is_null())["sample_id"]
    drops = tuple(Drop(sample_id, "", "has no image") for sample_id in missing)
    # The first sample of an image stands for it, as it does where captions share the image's rows.
    first = rows.filter(pl.col("image").is_not_null()).unique("image_id", keep="first", maintain_order=True)
    paths = tuple(job.images / image for image in first["image"])
    given = image_rows(loaded, paths[0], site) if paths else ImageRows((), (), 1)
    places = range(len(given.names))
    config: Any = loaded.model.config
    names = first.select("sample_id", "image_id").iter_rows()
    items = [Items(sample_id, image_id, places, given.names, given.special) for sample_id, image_id in names]
    return Shard(
        layout=lay_out_items(items, "image", job.config.pool),
        passes=ImagePasses(loaded, paths, layers, site, given),
        layers=layers,
        config=job.config,
        width=loaded.width(site),
        compute_dtype=str(loaded.dtype).removeprefix("torch."),
        attention=str(config.vision_config._attn_implementation),
        images=tuple(first["image_id"]),
        drops=drops,
    )
