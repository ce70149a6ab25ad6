"""From which layer on the concept is read: each curve over layers, tested as a whole against shuffled labels."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from core.analysis.overview.emergence import CURVE, LayerReading, Place
from core.data.concept import Concept
from core.stats.curves import RUN, CurveTest, LayerScores, curve_tests, first_sustained
from core.stats.families import corrected

_AUROC = ("auroc", "low", "high", "shuffled", "shuffled_low", "shuffled_high")
ONSETS = pl.Schema(
    {
        "language": pl.String(),
        "position_set": pl.String(),
        "decision": pl.Boolean(),
        "layers": pl.UInt16(),
        "curves": pl.UInt16(),
        "onset": pl.UInt16(),
        "layer": pl.UInt16(),
        **dict.fromkeys((*_AUROC, "professions_out"), pl.Float64()),
        "test_images": pl.UInt32(),
        "p": pl.Float64(),
        "q": pl.Float64(),
    }
)
PEAKS = pl.Schema(
    {
        "language": pl.String(),
        "position_set": pl.String(),
        "decision": pl.Boolean(),
        "layers": pl.UInt16(),
        "curves": pl.UInt16(),
        "layer": pl.UInt16(),
        "chosen": pl.Boolean(),
        **dict.fromkeys(_AUROC, pl.Float64()),
        "test_images": pl.UInt32(),
        "p": pl.Float64(),
        "q": pl.Float64(),
    }
)

Curve = list[tuple[int, LayerScores]]


def curves_of(readings: Mapping[int, LayerReading]) -> dict[Place, Curve]:
    """The layers and scores of each language and position set, in the order of the layers."""
    curves: dict[Place, Curve] = {}
    for layer in sorted(readings):
        for place, scores in readings[layer].scores.items():
            curves.setdefault(place, []).append((layer, scores))
    return curves


def onsets(emergence: pl.DataFrame, curves: Mapping[Place, Curve], concept: Concept) -> pl.DataFrame:
    """From which layer on the concept is read, one row per language and position set, by the logistic probe.

    Returns:
        language, position_set, decision, layers (of the curve), curves (of its family); onset: the first of three
        measured layers in a row that all reach what the three best in a row of any curve of the family reach in at
        most 5 % of the shuffles (null: none, or fewer than three layers); layer: the onset, else the peak layer, and
        there, on test images, auroc, low, high, shuffled, shuffled_low and shuffled_high (mean, 2.5th and 97.5th
        percentile under shuffled labels), professions_out, test_images; p and q of the curve (`CurveTest`).
    """
    rows: list[dict[str, Any]] = []
    for family in _families(curves, concept):
        tests = curve_tests([[scores for _, scores in curve] for curve in family.values()])
        for (place, curve), test in zip(family.items(), tests, strict=True):
            part = emergence.filter(method=CURVE, **place._asdict())
            onset, (peak, _) = _onset(curve, test), peak_layer(part)
            at = _at(part, peak if onset is None else onset)
            counts = {"layers": len(curve), "curves": len(family), "onset": onset, "p": test.p, "q": test.q}
            rows.append({**{name: at[name] for name in ONSETS if name not in counts}, **counts})
    return pl.DataFrame(rows, schema=ONSETS)


def peaks(emergence: pl.DataFrame, curves: Mapping[Place, Curve], concept: Concept) -> pl.DataFrame:
    """Where the concept is read best, one row per language and position set, by the logistic probe.

    Returns:
        language, position_set, decision, layers, curves; layer: that of the highest AUROC on the selection split
        (chosen; the last one where that split is too small), and there, on test images, what `onsets` has; p of that
        layer by itself, two-sided, and q over the family's curves (Benjamini & Hochberg 1995).
    """
    tables = [PEAKS.to_frame()]
    for family in _families(curves, concept):
        rows = []
        for place, curve in family.items():
            part = emergence.filter(method=CURVE, **place._asdict())
            layer, chosen = peak_layer(part)
            at, p = _at(part, layer), dict(curve)[layer].p
            counts = {"layers": len(curve), "curves": len(family), "chosen": chosen, "p": p, "q": None}
            rows.append({**{name: at[name] for name in PEAKS if name not in counts}, **counts})
        tables.append(corrected(pl.DataFrame(rows, schema=PEAKS)))
    return pl.concat(tables)


def _families(curves: Mapping[Place, Curve], concept: Concept) -> Iterator[dict[Place, Curve]]:
    """The curves of each question: before the concept is spoken, in the picture, on the words."""
    for question in dict.fromkeys(concept.questions.values()):
        family = {place: curve for place, curve in curves.items() if concept.questions[place.position_set] == question}
        if family:
            yield family


def _at(curve: pl.DataFrame, layer: int) -> dict[str, Any]:
    return curve.row(by_predicate=pl.col("layer") == layer, named=True)


def peak_layer(curve: pl.DataFrame) -> tuple[int, bool]:
    """The layer of the highest AUROC on the selection split, the lowest at a tie; the last one where that is unknown.

    `curve` has layer and auroc_select. Also whether it was chosen.
    """
    known = curve.sort("layer").with_columns(pl.col("auroc_select").fill_nan(None))
    best = known["auroc_select"].arg_max()
    return int(known["layer"][-1 if best is None else best]), best is not None


def _onset(curve: Curve, test: CurveTest) -> int | None:
    if test.cut is None or len(curve) < RUN:
        return None
    return first_sustained([layer for layer, _ in curve], [scores.z >= test.cut for _, scores in curve])
