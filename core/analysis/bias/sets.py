"""Generated captions as a set beside the data's own: LIC, and directional bias amplification either way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool

from core.analysis.bias import Config
from core.analysis.bias.hidden import FLIPPED, Hidden
from core.data.caption_sets import frequent, has, other_words
from core.stats.bias_amplification import Told, directional_amplification
from core.stats.families import corrected_within
from core.stats.group_means import Agreement, columns_of
from core.stats.leakage import leakage
from core.stats.two_level import Nested

SETS = pl.Schema(
    {
        **dict.fromkeys(("measure", "pictures", "language"), pl.String),
        **dict.fromkeys(("images", "tasks"), pl.UInt32),
        **dict.fromkeys(("value", "low", "high", "control", "control_low", "control_high"), pl.Float64),
        "draws": pl.UInt32,
        **dict.fromkeys(("p", "q", "model", "data", "model_shuffled", "data_shuffled"), pl.Float64),
    }
)
"""One row per measure, kind of pictures and language: the value with its interval over units, and its control; for LIC
the leakage of the model's and of the data's captions, and what it is with shuffled sides."""
LIC, TO_ATTRIBUTE, TO_TASK = "LIC", "group to side", "side to word"
SHOWN, HIDDEN = "shown", "not shown"


@dataclass(frozen=True)
class CaptionSet:
    """Generated captions and the data's own of images whose own caption tells one side, in one language."""

    language: str
    pictures: str
    table: pl.DataFrame
    units: np.ndarray

    @property
    def first(self) -> Bool[np.ndarray, " N"]:
        """Whether the image's own caption is on the first side."""
        return self.table["first"].to_numpy()


def set_table(hidden: Hidden, config: Config, written: pl.DataFrame) -> pl.DataFrame:
    """`SETS`, q over languages and kinds of pictures of a measure."""
    rows = [row for one in _sets(hidden, written) for row in _measures(hidden, config, one)]
    return corrected_within(pl.DataFrame(rows, schema=SETS), pl.col("measure"))


def _sets(hidden: Hidden, written: pl.DataFrame) -> Iterator[CaptionSet]:
    """Images whose label was made rather than drawn are left out where the picture does not show the concept."""
    inputs = hidden.inputs
    samples = inputs.samples
    flipped = (
        samples.filter(pl.col(FLIPPED))["sample_id"] if FLIPPED in samples.columns else pl.Series([], dtype=pl.String)
    )
    for language in inputs.languages:
        captions = samples.select("sample_id", pl.col(f"caption_{language}").alias("caption"))
        for pictures in (HIDDEN, SHOWN):
            own = written.filter(pl.col("language") == language, pl.col("shown") == (pictures == SHOWN))
            own = own.filter(pl.col("own").is_in(list(inputs.concept.sides)))
            if pictures == HIDDEN:
                own = own.filter(~pl.col("sample_id").is_in(flipped.implode()))
            if own.height:
                table = own.join(captions, on="sample_id").join(hidden.groups, on="image_id").sort("image_id")
                table = table.with_columns((pl.col("own") == inputs.concept.sides[0]).alias("first"))
                yield CaptionSet(language, pictures, table, table["unit"].to_numpy())


def _measures(hidden: Hidden, config: Config, one: CaptionSet) -> Iterator[dict[str, Any]]:
    draws, seed = (config.bootstrap, config.shuffles), hidden.inputs.seed
    model, data = (_words(hidden, one, column) for column in ("text", "caption"))
    place = {"pictures": one.pictures, "language": one.language, "images": one.table.height}
    leaks = leakage((model, data), one.first, one.units, draws, seed)
    if leaks is not None:
        more = {"model": leaks.model, "data": leaks.data}
        more |= {"model_shuffled": leaks.shuffled[0], "data_shuffled": leaks.shuffled[1]}
        yield {"measure": LIC, **place, **_columns(leaks.lic), **more}
    for measure, told, units in _directions(hidden, config, one, (model, data)):
        found = directional_amplification(told, units, draws, seed)
        if found is not None:
            yield {
                "measure": measure,
                **place,
                "tasks": max(told.given.shape[1], told.data.shape[1]),
                **_columns(found),
            }


def _words(hidden: Hidden, one: CaptionSet, column: str) -> list[tuple[str, ...]]:
    return [other_words(hidden.inputs.concept, text, one.language) for text in one.table[column]]


def _directions(
    hidden: Hidden, config: Config, one: CaptionSet, words: tuple[list[tuple[str, ...]], list[tuple[str, ...]]]
) -> Iterator[tuple[str, Told, np.ndarray | Nested]]:
    sides = np.stack([one.first, ~one.first], axis=1)
    if hidden.columns:
        groups = one.table[hidden.columns[0]].fill_null("").to_list()
        names = sorted(set(groups) - {""})
        given = np.array([[group == name for name in names] for group in groups])
        model = np.stack([(one.table["told"] == side).to_numpy() for side in hidden.inputs.concept.sides], axis=1)
        yield TO_ATTRIBUTE, Told(given, sides, model), Nested.of(groups, one.units)
    tasks = frequent(words[1], config.tasks)
    if tasks:
        yield TO_TASK, Told(sides, has(words[1], tasks), has(words[0], tasks)), one.units


def _columns(found: Agreement) -> Mapping[str, Any]:
    return {name.replace("permuted", "control"): value for name, value in columns_of(found).items()}
