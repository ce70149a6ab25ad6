"""The shift over all the concept's words of a language: log Σ p of one side's words − log Σ p of the other's."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from core.analysis.ablation.measures import LanguageRuns, Measured
from core.analysis.ablation.summary import ALL, by_image
from core.causal.resampling import Resampling
from core.data.concept import Concept

LEXICON = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        **dict.fromkeys(("images", "units"), pl.UInt32),
        **dict.fromkeys(("effect", "low", "high", "control", "control_low", "control_high"), pl.Float64),
        "draws": pl.UInt32,
        **dict.fromkeys(("p", "q", "own", "whole", "missed", "held", "scored"), pl.Float64),
    }
)
"""`effect` over the words that are scored under the patch, signed as that of the caption's own words (`own`, on the
same images); `whole` over every word of the lexicon, and `missed`, the largest difference of the two in a caption;
`held`: the least share of a side's clean probability that the scored words have, `scored`: their number, both means
over captions."""
LISTED = pl.Schema(
    {
        **dict.fromkeys(("language", "word", "side"), pl.String),
        **dict.fromkeys(("captions", "scored"), pl.UInt32),
        "share": pl.Float64,
    }
)
"""One row per word of the lexicon: captions that it can be spelled in, those in which it is scored under patches, and
its mean share of its side's clean probability."""


def lexicon_summary(layer: int, measured: Sequence[Measured], resampling: Resampling) -> pl.DataFrame:
    """One row per language, and one over all languages, averaged by image; columns of `LEXICON` but for q."""
    words = pl.concat([part.words for part in measured if part.words is not None])
    draws = by_image(pl.concat([part.word_draws for part in measured if part.word_draws is not None]), ["draw"])
    own = pl.concat([part.effects for part in measured]).filter(outcome=words["outcome"][0])
    zeroed = by_image(own.filter(intervention=words["intervention"][0]), [])
    effects, rows = by_image(words.drop_nans("effect"), []), []
    for (language,), part in effects.group_by("language", maintain_order=True):
        images, spoken = part["image_id"].to_list(), None if language == ALL else str(language)
        found = resampling.mean(part["effect"].to_numpy(), images, spoken)
        row = {"layer": layer, "language": language, "images": part.height}
        row |= {"units": np.unique(resampling.units(images, spoken)).size}
        row |= {"effect": found.mean, "low": found.low, "high": found.high}
        drawn = draws.filter(pl.col("language") == language).rename({"effect": "value"})
        row |= resampling.against(part["effect"].to_numpy(), drawn, images, spoken)
        beside = part.join(zeroed, on=["language", "image_id"], suffix="_own")
        row |= {"own": beside["effect_own"].mean()}
        rows.append(row | _check(words if language == ALL else words.filter(pl.col("language") == language)))
    return pl.DataFrame(rows, schema=LEXICON)


def _check(words: pl.DataFrame) -> dict[str, object]:
    """How far the scored words stand for all of the lexicon."""
    whole = by_image(words.drop_nans("effect").with_columns(pl.col("whole").alias("effect")), [])
    return {
        "whole": whole.filter(pl.col("language") == whole["language"][-1])["effect"].mean(),
        "missed": (words["whole"] - words["effect"]).abs().drop_nans().max(),
        "held": words["held"].mean(),
        "scored": words["scored"].mean(),
    }


def lexicon_words(runs: Sequence[LanguageRuns], concept: Concept) -> pl.DataFrame:
    """The words of every language: columns of `LISTED`, the likeliest of each side first."""
    parts = [_listed(part, concept) for part in runs if part.sets is not None]
    return pl.concat([LISTED.to_frame(), *parts])


def _listed(runs: LanguageRuns, concept: Concept) -> pl.DataFrame:
    sets = runs.sets
    assert sets is not None
    lexicon, spelled = sets.lexicon, np.isfinite(sets.clean)
    sides = np.where(lexicon.positive, *concept.sides)
    share = np.zeros(len(lexicon.words))
    for side in (lexicon.positive, ~lexicon.positive):
        log_p = sets.clean[:, side]
        share[side] = np.exp(log_p - np.logaddexp.reduce(log_p, axis=1, keepdims=True)).mean(axis=0)
    columns = {
        "language": [runs.language] * len(lexicon.words),
        "word": lexicon.words,
        "side": sides,
        "captions": spelled.sum(axis=0),
        "scored": sets.is_kept.sum(axis=0),
        "share": share,
    }
    return pl.DataFrame(columns).cast(dict(LISTED)).sort("side", "share", descending=[False, True])  # type: ignore[arg-type]
