"""From which layer on the order of the two sides' words tells the side, each curve over layers tested as a whole."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from core.analysis.logit_lens.reading import FROZEN_READ, SAE_READ, STREAM_READ, Setup, WordScores
from core.analysis.logit_lens.rows import BEFORE
from core.stats.curves import RUN, CurveTest, curve_tests, first_sustained
from core.stats.scored import Scored, excess

Curves = dict[tuple[str, str], list[tuple[int, WordScores]]]
"""By language and what is read: layers, in order, and the words' scores there."""
_AT = (
    *("own_rank", "other_rank", "ahead", "ahead_low", "ahead_high"),
    *("auroc", "low", "high", "shuffled", "shuffled_low", "shuffled_high"),
)
ONSETS = pl.Schema(
    {
        **dict.fromkeys(("language", "read"), pl.String),
        **dict.fromkeys(("layers", "curves", "onset", "layer"), pl.UInt16),
        **dict.fromkeys(_AT, pl.Float64),
        "images": pl.UInt32,
        **dict.fromkeys(("p", "q"), pl.Float64),
    }
)
COMPARISONS = pl.Schema(
    {
        "language": pl.String,
        "against": pl.String,
        "layers": pl.UInt16,
        **dict.fromkeys(("auroc", "other", "excess", "low", "high"), pl.Float64),
        **dict.fromkeys(("null", "null_low", "null_high", "p"), pl.Float64),
        **dict.fromkeys(("draws", "images"), pl.UInt32),
    }
)


def onsets(lens: pl.DataFrame, curves: Curves) -> pl.DataFrame:
    """One row a language and what is read.

    Returns:
        language, read, layers (of the curve), curves (of the family); onset: the first of three measured layers in a
        row that all reach what the three best in a row of any curve reach in at most 5 % of the shuffles (null: none,
        or fewer than three layers); layer: the onset, else the last measured layer, and what `LENS` has there; p and q
        of the curve (`core.stats.curves.CurveTest`).
    """
    tests = curve_tests([[one.scores for _, one in curve] for curve in curves.values()])
    rows = []
    for ((language, read), curve), test in zip(curves.items(), tests, strict=True):
        onset = _onset(curve, test)
        layer = curve[-1][0] if onset is None else onset
        at = lens.filter(layer=layer, language=language, read=read, rows=BEFORE).row(0, named=True)
        counts = {"layers": len(curve), "curves": len(curves), "onset": onset, "p": test.p, "q": test.q}
        rows.append({**{name: at[name] for name in ONSETS if name not in counts}, **counts})
    return pl.DataFrame(rows, schema=ONSETS)


def _onset(curve: list[tuple[int, WordScores]], test: CurveTest) -> int | None:
    if test.cut is None or len(curve) < RUN:
        return None
    return first_sustained([layer for layer, _ in curve], [one.scores.z >= test.cut for _, one in curve])


def compared(curves: Curves, setup: Setup, draws: int) -> Iterator[Mapping[str, Any]]:
    """The rows of `COMPARISONS`: areas averaged over layers, so that none is chosen; through the SAE beside the frozen
    dictionary and the stream."""
    for language in dict.fromkeys(language for language, _ in curves):
        at = {read: _over_layers(curve) for (own, read), curve in curves.items() if own == language}
        for against in (FROZEN_READ, STREAM_READ):
            if against in at and SAE_READ in at:
                own, other = at[SAE_READ], at[against]
                found = excess(own, other, draws, setup.seed)
                yield {
                    **{"language": language, "against": against, "layers": own.scores.shape[1]},
                    **{"auroc": own.area, "other": other.area, "excess": found.value},
                    **{name: value for name, value in vars(found).items() if name != "value"},
                    **{"draws": draws, "images": len(own.units)},
                }


def _over_layers(curve: list[tuple[int, WordScores]]) -> Scored:
    """One column a layer, of the layers that have as many images as any."""
    most = max(len(one.scored.units) for _, one in curve)
    whole = [one.scored for _, one in curve if len(one.scored.units) == most]
    scores, truth = (np.concatenate([getattr(one, name) for one in whole], axis=1) for name in ("scores", "truth"))
    return Scored(scores, truth, whole[0].units)
