"""From which layer on the order of the two sides' words tells the side: chosen by whole curves, tested on others."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from core.analysis.logit_lens.reading import FROZEN_READ, SAE_READ, STREAM_READ, Setup, WordScores
from core.analysis.logit_lens.rows import BEFORE
from core.stats.curves import RUN, curve_tests, first_sustained
from core.stats.families import corrected
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
    """One row per language and what is read.

    Returns:
        language, read, layers (of the curve), curves (of the family); onset: on the selection split, the first of three
        measured layers in a row that all reach what the three best in a row of any curve reach in at most 5 % of the
        shuffles (null: none, or fewer than three layers); layer: the onset, else the last measured layer, and what
        `LENS` has of test images there; p of that layer, and q over the rows.
    """
    cuts = _cuts(curves)
    rows = []
    for (language, read), curve in curves.items():
        onset = _onset(curve, cuts.get((language, read)))
        layer = curve[-1][0] if onset is None else onset
        at = lens.filter(layer=layer, language=language, read=read, rows=BEFORE).row(0, named=True)
        tested = {"p": dict(curve)[layer].scores.p, "q": None}
        counts = {"layers": len(curve), "curves": len(curves), "onset": onset, **tested}
        rows.append({**{name: at[name] for name in ONSETS if name not in counts}, **counts})
    return corrected(pl.DataFrame(rows, schema=ONSETS))


def _cuts(curves: Curves) -> dict[tuple[str, str], float]:
    """The score that three layers in a row must reach on the selection split, of the curves that are long enough."""
    known = {key: [one.choosing for _, one in curve if one.choosing is not None] for key, curve in curves.items()}
    long = {key: curve for key, curve in known.items() if len(curve) >= RUN}
    tests = curve_tests(list(long.values()))
    return {key: test.cut for key, test in zip(long, tests, strict=True) if test.cut is not None}


def _onset(curve: list[tuple[int, WordScores]], cut: float | None) -> int | None:
    if cut is None:
        return None
    known = [(layer, one.choosing) for layer, one in curve if one.choosing is not None]
    return first_sustained([layer for layer, _ in known], [scores.z >= cut for _, scores in known])


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
    """One column per layer, of the layers that have as many images as any."""
    most = max(len(one.scored.units) for _, one in curve)
    whole = [one.scored for _, one in curve if len(one.scored.units) == most]
    scores, truth = (np.concatenate([getattr(one, name) for one in whole], axis=1) for name in ("scores", "truth"))
    return Scored(scores, truth, whole[0].units)
