"""Generated captions as a set beside the data's own: LIC, and directional bias amplification either way."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from core.analysis.bias import Config
from core.analysis.bias.hidden import FLIPPED, Hidden
from core.data.caption_pairs import CaptionPairs
from core.stats.families import corrected_within
from core.stats.group_means import Agreement, columns_of

SETS = pl.Schema(
    {
        **dict.fromkeys(("measure", "pictures", "language"), pl.String),
        **dict.fromkeys(("images", "tasks"), pl.UInt32),
        **dict.fromkeys(("value", "low", "high", "control", "control_low", "control_high"), pl.Float64),
        "draws": pl.UInt32,
        **dict.fromkeys(("p", "q", "model", "data", "model_shuffled", "data_shuffled"), pl.Float64),
    }
)
"""One row per measure, kind of pictures and language: the value with its interval over units, and its control (the two
captions exchanged by unit); for LIC the leakage of the model's and of the data's captions, and with shuffled sides."""
LIC, TO_ATTRIBUTE, TO_TASK = "LIC", "group to side", "side to word"
SHOWN, HIDDEN = "shown", "not shown"


class CaptionSet(NamedTuple):
    """Captions of one kind of pictures in one language, and the images' groups of the first column, where any."""

    language: str
    pictures: str
    pairs: CaptionPairs
    groups: list[str | None]


def set_table(hidden: Hidden, config: Config, written: pl.DataFrame) -> pl.DataFrame:
    """`SETS`, q over languages and kinds of pictures of a measure."""
    rows = [row for one in _sets(hidden, written) for row in _measures(hidden, config, one)]
    return corrected_within(pl.DataFrame(rows, schema=SETS), pl.col("measure"))


def _sets(hidden: Hidden, written: pl.DataFrame) -> Iterator[CaptionSet]:
    """Images whose row was made as another's counterpart rather than drawn are left out: no rate holds among those."""
    inputs = hidden.inputs
    samples = inputs.samples
    made = samples.filter(pl.col(FLIPPED))["sample_id"].to_list() if FLIPPED in samples.columns else []
    for language in inputs.languages:
        captions = samples.select("sample_id", pl.col(f"caption_{language}").alias("caption"))
        for pictures in (HIDDEN, SHOWN):
            own = written.filter(pl.col("language") == language, pl.col("shown") == (pictures == SHOWN))
            own = own.filter(pl.col("own").is_in(list(inputs.concept.sides)), ~pl.col("sample_id").is_in(made))
            if own.height:
                yield _set(hidden, own.join(captions, on="sample_id"), language, pictures)


def _set(hidden: Hidden, own: pl.DataFrame, language: str, pictures: str) -> CaptionSet:
    concept, table = hidden.inputs.concept, own.join(hidden.groups, on="image_id").sort("image_id")
    first = (table["own"] == concept.sides[0]).to_numpy()
    texts = (table["text"].to_list(), table["caption"].to_list())
    groups = table[hidden.columns[0]].to_list() if hidden.columns else []
    pairs = CaptionPairs(concept, language, *texts, first, table["unit"].to_numpy(), np.arange(len(first)), len(first))
    return CaptionSet(language, pictures, pairs, groups)


def _measures(hidden: Hidden, config: Config, one: CaptionSet) -> Iterator[dict[str, Any]]:
    draws, seed = (config.bootstrap, config.shuffles), hidden.inputs.seed
    place = {"pictures": one.pictures, "language": one.language, "images": len(one.pairs.own)}
    leaks = one.pairs.leakage(config.shuffles, seed)
    if leaks is not None:
        more = {"model": leaks.model, "data": leaks.data}
        more |= {"model_shuffled": leaks.shuffled[0], "data_shuffled": leaks.shuffled[1]}
        yield {"measure": LIC, **place, **_columns(leaks.lic), **more}
    found = one.pairs.to_side(one.groups, draws, seed) if one.groups else None
    if found is not None:
        yield {"measure": TO_ATTRIBUTE, **place, "tasks": len({*one.groups} - {None}), **_columns(found)}
    found = one.pairs.to_words(config.tasks, draws, seed)
    if found is not None:
        yield {"measure": TO_TASK, **place, "tasks": config.tasks, **_columns(found)}


def _columns(found: Agreement) -> Mapping[str, Any]:
    return {name.replace("permuted", "control"): value for name, value in columns_of(found).items()}
