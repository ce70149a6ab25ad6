"""Which rows the lens reads, and the tokens whose ranks it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Int

from core.activations.stream_rows import SHARED
from core.analysis.logit_lens import Config
from core.features.associations import Labels
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView

BEFORE, CAPTION = "before the word", "caption"
CHOOSING = "before the word on the selection split"
"""Rows of selection images, at which the layer is chosen that test images are quoted at."""
WORDS = pl.Schema(
    {"language": pl.String, "side": pl.String, "token_id": pl.Int64, "token": pl.String, "captions": pl.UInt32}
)
"""One row per token that opens the concept's words on one side alone, in the training captions of a language."""


@dataclass(frozen=True)
class LensRows:
    """The rows of one language: `table` has image_id, positive, `origin` (the row's number in every layer), `kind` and
    unit: those that stand before the concept's first word, caption rows, and the former of selection images.

    `words` are the tokens of the first side and of the other.
    """

    language: str
    table: pl.DataFrame
    words: tuple[list[int], list[int]]

    @property
    def tokens(self) -> list[int]:
        """The tokens of both sides, the first side's first."""
        return [*self.words[0], *self.words[1]]


def lens_rows(view: LayerView, inputs: AnalysisInputs, config: Config) -> tuple[list[LensRows], pl.DataFrame]:
    """The rows of every language that has words of both sides, and the columns of `WORDS`.

    Of test images: the row before the first token of the caption's first word for the concept, and caption rows drawn
    at random; of selection images the former alone.
    """
    tokens = _placed(view)
    labels = Labels.by_language(inputs.concept, inputs.samples, inputs.languages)
    first = _first_words(tokens, labels, inputs)
    words = _words(first.filter(split="train"), inputs.concept.sides, config.words)
    found = []
    for language in inputs.languages:
        own = words.filter(language=language)
        sides = tuple(own.filter(side=side)["token_id"].to_list() for side in inputs.concept.sides)
        parts = {
            kind: _before(tokens, first.filter(split=split, language=language))
            for kind, split in ((BEFORE, "test"), (CHOOSING, "select"))
        }
        if parts[BEFORE].height and all(sides):
            parts[CAPTION] = _captions(tokens, labels[language], language, (config.caption_rows, inputs.seed))
            table = pl.concat([part.with_columns(kind=pl.lit(kind)) for kind, part in parts.items()])
            unit = pl.Series("unit", inputs.units(table["image_id"].to_list()))
            found.append(LensRows(language, table.with_columns(unit), (sides[0], sides[1])))
    return found, words


def places(view: LayerView, rows: LensRows) -> Int[np.ndarray, " n"]:
    """Where the rows stand in a layer; −1 for those that it lacks."""
    here = view.table.tokens.select("origin").with_row_index("place")
    found = rows.table.select("origin").join(here, on="origin", how="left", maintain_order="left")["place"]
    return found.cast(pl.Int64).fill_null(-1).to_numpy()


def _placed(view: LayerView) -> pl.DataFrame:
    names, of_row = view.groups.table["position_set"].to_numpy(), view.groups.of_row
    sets = np.where(of_row >= 0, names[np.maximum(of_row, 0)], "")
    columns = ["sample_id", "image_id", "language", "segment", "position", "token_id", "token", "special", "origin"]
    frame = view.table.tokens.select(columns).with_columns(pl.col("sample_id", "image_id", "language").cast(pl.String))
    return frame.with_columns(pl.Series("position_set", sets))


def _first_words(tokens: pl.DataFrame, labels: Mapping[str, Labels], inputs: AnalysisInputs) -> pl.DataFrame:
    """The first token of each caption's first word for the concept, with the image's split and side."""
    own = tokens.filter(pl.col("position_set") == inputs.concept.positions.first, pl.col("token_id").is_not_null())
    first = own.sort("position").group_by("sample_id", "image_id", "language", maintain_order=True).first()
    parts = [
        first.filter(language=language).join(
            of.table.filter(pl.col("positive").is_not_null()), on="image_id", how="inner", maintain_order="left"
        )
        for language, of in labels.items()
        if language != SHARED
    ]
    return pl.concat(parts)


def _words(first: pl.DataFrame, sides: tuple[str, str], most: int) -> pl.DataFrame:
    """Tokens that open words of one side alone, the most frequent first."""
    keys = ["language", "token_id"]
    counted = first.group_by(*keys, "positive").agg(pl.col("token").first(), pl.len().alias("captions"))
    alone = counted.filter(pl.len().over(keys) == 1)
    side = pl.when("positive").then(pl.lit(sides[0])).otherwise(pl.lit(sides[1])).alias("side")
    ordered = alone.with_columns(side).sort("captions", "token_id", descending=[True, False])
    chosen = ordered.group_by("language", "side", maintain_order=True).head(most)
    return (
        chosen.select(WORDS.names()).cast(WORDS).sort("language", "side", "captions", descending=[False, False, True])
    )


def _before(tokens: pl.DataFrame, first: pl.DataFrame) -> pl.DataFrame:
    """The row before each word: its caption's own, or the prompt's where all languages share it."""
    wanted = first.select("sample_id", "image_id", "language", "positive", pl.col("position") - 1)
    at = tokens.select("sample_id", "image_id", "language", "position", "origin", "special", "position_set")
    at = at.filter(~pl.col("special") | (pl.col("position_set") != "")).drop("special", "position_set")
    own = wanted.join(at.drop("image_id"), on=["sample_id", "language", "position"], maintain_order="left")
    rest = wanted.join(own, on=["sample_id", "language"], how="anti", maintain_order="left")
    shared = at.filter(pl.col("language").is_null()).select("image_id", "position", "origin")
    other = rest.join(shared, on=["image_id", "position"], maintain_order="left")
    return pl.concat([part.select("image_id", "positive", "origin") for part in (own, other)])


def _captions(tokens: pl.DataFrame, labels: Labels, language: str, how: tuple[int, int]) -> pl.DataFrame:
    most, seed = how
    known = labels.table.filter(split="test").select("image_id", "positive")
    own = tokens.filter(pl.col("segment") == "caption", ~pl.col("special"), pl.col("language") == language)
    every = own.join(known, on="image_id", maintain_order="left").select("image_id", "positive", "origin")
    chosen = np.sort(np.random.default_rng(seed).permutation(every.height)[:most])
    return every[chosen]
