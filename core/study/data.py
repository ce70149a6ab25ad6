"""Where a study's samples come from."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from core.study.section import Section


class Splits(Section):
    """Shares of images in the three splits; what belongs together (captions of one image, pairs, equal pictures or
    equal texts) always falls into the same one."""

    train: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of images the SAEs and probes are trained on."""
    select: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of images on which features, doses and thresholds are chosen."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of images on which effects, intervals and p-values are computed."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Splits":
        if abs(self.train + self.select + self.test - 1) > 1e-9:
            raise ValueError("train + select + test must be 1")
        return self


class SceneSource(Section):
    """The known-answer world: scenes of emoji art with captions in English and Arabic, and the truth beside them."""

    source: Literal["scenes"]
    """Generated scenes."""
    num_samples: Annotated[int, Field(ge=8)] = 400
    """Samples to generate, each person's twin on the concept's other side included."""
    seed: int = 0
    """Seed of the generator."""


class Columns(Section):
    """The names that the columns have in the table; further columns are kept as attributes."""

    sample_id: str | None = None
    """Column of unique sample ids; null numbers the rows."""
    image: str | None = "image"
    """Column of pictures: paths relative to the table's folder, or in Parquet their bytes; null makes a study of text
    only."""
    image_id: str | None = None
    """Column that tells captions of one image apart from others; null takes the picture's path or content (or the
    sample id)."""
    caption_en: str | None = "caption_en"
    """Column of English captions."""
    caption_ar: str | None = "caption_ar"
    """Column of Arabic captions."""
    pair: str | None = None
    """Column whose equal values pair rows: they share a split, and two on opposite sides are counterparts; null takes
    `pair_id` where there is one."""

    @model_validator(mode="after")
    def _some_caption(self) -> "Columns":
        if self.caption_en is None and self.caption_ar is None:
            raise ValueError("at least one of caption_en and caption_ar must name a column")
        return self


class TableSource(Section):
    """A CSV, TSV, Parquet or JSON Lines table of image-caption samples."""

    source: Literal["table"]
    """A table of the user's own."""
    path: str
    """The table: .csv, .tsv, .parquet or .jsonl; a relative path starts at the study file's folder."""
    columns: Columns = Columns()
    """How the table's columns are called."""
    num_samples: Annotated[int, Field(ge=1)] | None = None
    """Samples to draw, stratified by the captions' label; null takes all."""
    seed: int = 0
    """Seed of the draw and of the split."""
    splits: Splits = Splits()
    """Shares of the three splits."""
    max_caption_chars: Annotated[int, Field(ge=1)] = 2000
    """Longer captions are dropped and counted."""
    max_dropped_fraction: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The step fails, naming rows, when a larger share of rows is dropped."""


class EmojiSource(Section):
    """CLDR's English and Arabic names of emoji (package `emoji`): woman/man minimal pairs and neutral variants."""

    source: Literal["emoji"]
    """Emoji names; text only."""
    skin_tones: bool = True
    """Keep the skin-tone variants (482 pairs, 463 of them called `woman …`); without them 82."""
    num_samples: Annotated[int, Field(ge=8)] | None = None
    """Samples to draw, whole minimal pairs at a time; null takes all."""
    seed: int = 0
    """Seed of the draw and of the split."""
    splits: Splits = Splits()
    """Shares of the three splits."""


DataSource = Annotated[SceneSource | TableSource | EmojiSource, Field(discriminator="source")]
