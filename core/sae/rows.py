"""Which rows of a layer an autoencoder learns from, and which it is tested on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.activations.outliers import is_outlier
from core.activations.table import LayerTable
from core.sae.reading import Pairs, StoredRows
from core.study.sae import SAEConfig

MAX_HELD_OUT = 16_384
"""Held-out rows kept at most: beyond that a FVU no longer moves in its third digit."""
SHARED_WORDS = "prompt_shared"
"""The kind of instruction rows that the languages have in common."""
_HELD_BYTES = 4 * 2**30
"""Training rows of a layer that are held in memory, on the device: 800,000 of 2560 numbers. More are read as needed."""


@dataclass(frozen=True)
class Rows:
    """Training rows (split `train`) and rows held out of training (split `select`) of one layer, in raw units.

    `counts` says how many training rows there are of each kind, such as caption_en or image. The targets are what a
    transcoder should give for each row; an autoencoder has none but the rows themselves. Outliers are in none of these:
    `with_outliers` are the held-out rows that would be drawn if there were no limit, null where no outlier is drawn.
    """

    train: Float[Tensor, "T D"] | StoredRows
    held_out: Float[Tensor, "H D"]
    counts: Mapping[str, int]
    train_target: Float[Tensor, "T O"] | None = None
    held_out_target: Float[Tensor, "H O"] | None = None
    with_outliers: Float[Tensor, "W D"] | None = None

    @property
    def pairs(self) -> Pairs:
        """The training rows and their targets."""
        return Pairs(self.train, self.train_target)

    def to(self, device: torch.device | str) -> "Rows":
        """The same rows on another device."""
        moved = {
            name: rows.to(device)
            for name in ("train", "held_out", "train_target", "held_out_target", "with_outliers")
            if (rows := getattr(self, name)) is not None
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class Choice:
    """Ascending row numbers of a layer's table; `counts` of the training rows by kind."""

    train: Int[np.ndarray, " T"]
    held_out: Int[np.ndarray, " H"]
    counts: Mapping[str, int]
    with_outliers: Int[np.ndarray, " W"] | None = None


def load_rows(table: LayerTable, samples: pl.DataFrame, config: SAEConfig) -> Rows:
    """Choose rows and read them; they stay in bfloat16, as they are stored, and in their files if they are many."""
    choice = choose_rows(table.tokens, samples, config)
    train, held_out = StoredRows(table, choice.train), StoredRows(table, choice.held_out)
    many = 2 * len(train) * table.d_model > _HELD_BYTES
    beside = None if choice.with_outliers is None else StoredRows(table, choice.with_outliers)[:]
    return Rows(train if many else train[:], held_out[:], choice.counts, with_outliers=beside)


def choose_rows(tokens: pl.DataFrame, samples: pl.DataFrame, config: SAEConfig) -> Choice:
    """Draw the rows of the train and select splits in the stated proportions, by the study's seed.

    Caption rows are balanced between the languages, and so are the instruction's own words, beside those that the
    languages share; image rows come to `image_share` of all where there are enough of them. Special rows, outliers and
    rows before the image (the same in every sample) are left out. A table without image rows or with one language
    gives all it has.
    """
    train, counts = _draw(tokens, samples, config, "train", config.max_rows)
    limit = MAX_HELD_OUT if config.max_rows is None else min(MAX_HELD_OUT, config.max_rows)
    held_out, _ = _draw(tokens, samples, config, "select", limit)
    outlier = is_outlier(tokens)
    if not outlier.any():
        return Choice(train, held_out, counts)
    unlimited, _ = _draw(tokens.with_columns(special=pl.col("special") & ~outlier), samples, config, "select", limit)
    return Choice(train, held_out, counts, unlimited if outlier.gather(unlimited).any() else None)


def _draw(
    tokens: pl.DataFrame, samples: pl.DataFrame, config: SAEConfig, split: str, limit: int | None
) -> tuple[Int[np.ndarray, " n"], dict[str, int]]:
    pools = _pools(tokens, samples, split)
    sizes = _sizes(pools, config.image_share)
    total = sum(sizes.values())
    if limit is not None and total > limit:
        sizes = {kind: size * limit // total for kind, size in sizes.items()}
    # Held-out rows are the same whatever the seed, so that SAEs of several seeds compare.
    rng = np.random.default_rng([config.seed if split == "train" else 0, ("train", "select").index(split)])
    drawn = [rng.choice(pools[kind], size, replace=False) for kind, size in sizes.items()]
    rows = np.sort(np.concatenate(drawn)) if drawn else np.empty(0, np.int64)
    return rows, sizes


def _pools(tokens: pl.DataFrame, samples: pl.DataFrame, split: str) -> dict[str, Int[np.ndarray, " n"]]:
    """Row numbers of a split by kind, kinds in a fixed order, empty ones left out."""
    images = samples.filter(pl.col("split") == split)["image_id"].unique().to_list()
    frame = tokens.select(
        pl.int_range(pl.len()).alias("row"), "image_id", "language", "segment", "position", "special"
    ).filter(~pl.col("special") & pl.col("image_id").is_in(images))
    image = frame.filter(pl.col("segment") == "image")
    pools = {"image": image["row"].to_numpy()} if image.height else {}
    items = frame.filter(pl.col("segment") == "item")
    pools |= {"item": items["row"].to_numpy()} if items.height else {}
    for segment in ("caption", "prompt"):
        for language in sorted(frame["language"].drop_nulls().unique().to_list()):
            kind = frame.filter((pl.col("segment") == segment) & (pl.col("language") == language))
            if kind.height:
                pools[f"{segment}_{language}"] = kind["row"].to_numpy()
    shared = _shared_words(frame, image)
    return pools | ({SHARED_WORDS: shared} if shared.size else {})


def _shared_words(frame: pl.DataFrame, image: pl.DataFrame) -> Int[np.ndarray, " n"]:
    """Instruction words behind the image that all languages open with: stored once, but read with every caption."""
    begins = image.group_by("image_id").agg(pl.col("position").min().alias("image_begins"))
    prompt = frame.filter((pl.col("segment") == "prompt") & pl.col("language").is_null())
    behind = prompt.join(begins, on="image_id", maintain_order="left").filter(
        pl.col("position") > pl.col("image_begins")
    )
    return behind["row"].to_numpy()


def _sizes(pools: Mapping[str, Int[np.ndarray, " n"]], image_share: float) -> dict[str, int]:
    """How many rows of each pool are drawn."""
    sizes: dict[str, int] = {}
    for segment in ("caption", "prompt"):
        kinds = [kind for kind in pools if kind.startswith(segment) and kind != SHARED_WORDS]
        sizes |= dict.fromkeys(kinds, min((len(pools[kind]) for kind in kinds), default=0))
    if SHARED_WORDS in pools:
        sizes[SHARED_WORDS] = len(pools[SHARED_WORDS])
    if "item" in pools:
        sizes["item"] = len(pools["item"])
    if "image" in pools:
        wanted = round(sum(sizes.values()) * image_share / (1 - image_share))
        sizes["image"] = min(len(pools["image"]), wanted) if sizes else len(pools["image"])
    return {kind: sizes[kind] for kind in pools}
