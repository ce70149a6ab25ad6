"""Which rows of a layer's table belong to which prompt: a prompt is one caption of one sample with its image."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from core.data.languages import LANGUAGES
from core.data.twins import unit_of_image

PROMPTS = pl.Schema(
    {
        "prompt_id": pl.UInt32(),
        "sample_id": pl.String(),
        "image_id": pl.String(),
        "image": pl.String(),
        "language": pl.String(),
        "unit": pl.UInt32(),
    }
)
"""`prompt_id` is the sample's number in samples.parquet times the number of languages, plus the language's: the same in
every layer. `language` is null where an image has no text. `unit` is shared by an image and its twins."""

_ENTRY = {"row": pl.UInt32, "prompt": pl.UInt32, "place": pl.UInt32, "image": pl.Boolean}


@dataclass(frozen=True)
class Prompts:
    """P prompts, and the prompts that each of T rows is in.

    Attributes:
        table: one row per prompt, by `prompt_id`.
        tokens: the prompt's own tokens: instruction and caption, without special ones.
        captions: the place of the caption's first token among them; their number where there is no caption.
        lengths: the number of own tokens.
        cells: the number of patches of the prompt's image; 0 without one.
        starts: where each row's entries start.
        prompt: each entry's prompt, as a row of `table`.
        place: its place among the prompt's own tokens, or among its image's patches.
        image: whether it is a patch.
    """

    table: pl.DataFrame
    tokens: pl.Series
    captions: Int[np.ndarray, " P"]
    lengths: Int[np.ndarray, " P"]
    cells: Int[np.ndarray, " P"]
    starts: Int[np.ndarray, " T1"]
    prompt: Int[np.ndarray, " E"]
    place: Int[np.ndarray, " E"]
    image: Bool[np.ndarray, " E"]

    def __len__(self) -> int:
        return self.table.height


def number_prompts(tokens: pl.DataFrame, samples: pl.DataFrame) -> Prompts:
    """The prompts of a layer's T rows.

    Args:
        tokens: what each row is of (`core.activations.tokens.layer_tokens`); special rows are in no prompt.
        samples: the study's samples, in the order of samples.parquet.
    """
    rows = tokens.select(
        "sample_id", "image_id", "language", "segment", "position", "token", row=pl.int_range(pl.len(), dtype=pl.UInt32)
    ).filter(~tokens["special"])
    table = _prompt_table(rows, samples)
    places = table.select("sample_id", "image_id", "language", prompt=pl.int_range(pl.len(), dtype=pl.UInt32))
    text = _text_entries(rows.filter(pl.col("segment") != "image"), places)
    patches = _patch_entries(rows.filter(segment="image"), places)
    entries = pl.concat([text.select(*_ENTRY), patches.select(*_ENTRY)]).sort("row", "prompt")
    numbers = np.arange(tokens.height + 1)
    own = _per_prompt(text, table.height)
    return Prompts(
        table,
        own["token"],
        own["captions"].to_numpy().astype(np.int64),
        own["token"].list.len().to_numpy().astype(np.int64),
        np.bincount(patches["prompt"].to_numpy(), minlength=table.height).astype(np.int64),
        np.searchsorted(entries["row"].to_numpy(), numbers),
        entries["prompt"].to_numpy().astype(np.int64),
        entries["place"].to_numpy().astype(np.int64),
        entries["image"].to_numpy(),
    )


def _prompt_table(rows: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    """One prompt per sample and language that has rows; of an image without text one in no language."""
    spoken = rows.filter(pl.col("language").is_not_null()).select("sample_id", "image_id", "language").unique()
    silent = rows.join(spoken, on="image_id", how="anti").select("sample_id", "image_id", "language").unique()
    numbers = samples.select(
        "sample_id",
        pl.col("image") if "image" in samples.columns else pl.lit(None, pl.String).alias("image"),
        number=pl.int_range(pl.len(), dtype=pl.UInt32),
    )
    units = unit_of_image(samples)
    language = pl.col("language").replace_strict({name: n for n, name in enumerate(LANGUAGES)}, default=0)
    found = pl.concat([spoken, silent]).join(numbers, on="sample_id", how="inner")
    numbered = found.with_columns(
        prompt_id=pl.col("number") * len(LANGUAGES) + language.fill_null(0).cast(pl.UInt32),
        unit=pl.col("image_id").replace_strict(units, return_dtype=pl.UInt32),
    )
    return numbered.sort("prompt_id").select(*PROMPTS).cast(PROMPTS)


def _text_entries(text: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Each prompt's own tokens in their order: the rows of its sample and language, and those that the image's captions
    share."""
    own = text.join(places.select("sample_id", "language", "prompt"), on=["sample_id", "language"], how="inner")
    shared = text.filter(pl.col("language").is_null())
    common = shared.join(places.select("image_id", "prompt"), on="image_id", how="inner")
    columns = ("row", "prompt", "position", "segment", "token")
    entries = pl.concat([own.select(columns), common.select(columns)]).sort("prompt", "position", "row")
    return entries.with_columns(place=pl.int_range(pl.len(), dtype=pl.UInt32).over("prompt"), image=pl.lit(value=False))


def _patch_entries(patches: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """The image's patches, row by row, in each prompt of the image."""
    numbered = patches.sort("image_id", "position").with_columns(
        place=pl.int_range(pl.len(), dtype=pl.UInt32).over("image_id")
    )
    entries = numbered.join(places.select("image_id", "prompt"), on="image_id", how="inner")
    return entries.with_columns(image=pl.lit(value=True))


def _per_prompt(text: pl.DataFrame, prompts: int) -> pl.DataFrame:
    """Tokens and the caption's start of each of P prompts."""
    told = text.group_by("prompt", maintain_order=True).agg(
        "token", captions=(pl.col("segment") != "caption").sum().cast(pl.Int64)
    )
    every = pl.DataFrame({"prompt": pl.int_range(prompts, dtype=pl.UInt32, eager=True)})
    return every.join(told, on="prompt", how="left", maintain_order="left").with_columns(
        pl.col("token").fill_null(pl.lit([], pl.List(pl.String))), pl.col("captions").fill_null(0)
    )
