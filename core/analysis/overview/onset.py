"""From which layer on gender is read: each curve over layers, tested as a whole against curves of shuffled labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from scipy.stats import false_discovery_control

from core.analysis.overview.emergence import CURVE, EMERGENCE, LayerReading, Place
from core.data.concept import Concept
from core.stats.curves import RUN, CurveTest, LayerScores, curve_tests, first_sustained

_AT_LAYER = (
    "auroc", "low", "high", "shuffled", "shuffled_low", "shuffled_high", "accuracy", "control", "professions_out",
    "test_images",
)  # fmt: skip
SUMMARY = pl.Schema(
    {
        "language": pl.String(),
        "position_set": pl.String(),
        "decision": pl.Boolean(),
        "layers": pl.UInt16(),
        "curves": pl.UInt16(),
        "onset": pl.UInt16(),
        "layer": pl.UInt16(),
        **{name: EMERGENCE[name] for name in _AT_LAYER},
        "p": pl.Float64(),
        "q": pl.Float64(),
        "peak_layer": pl.UInt16(),
        "peak_chosen": pl.Boolean(),
        **{f"peak_{name}": pl.Float64() for name in (*_AT_LAYER[:6], "p", "q")},
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


def summarise(emergence: pl.DataFrame, curves: Mapping[Place, Curve], concept: Concept) -> pl.DataFrame:
    """Where gender is read, one row a language and position set, from the logistic probe.

    The curves of one question (before gender is spoken, in the picture, on the words) are one family.

    Returns:
        language, position_set, decision, layers (of the curve), curves (of the family); onset: the first of three
        measured layers in a row that all reach what the three best in a row of any curve of the family reach in at
        most 5 % of the shuffles (null: none, or fewer than three layers); layer: the onset, else the peak layer, and
        there, on test images, auroc, low, high, shuffled, shuffled_low and shuffled_high (mean, 2.5th and 97.5th
        percentile under shuffled labels), accuracy, control, professions_out, test_images; p and q of the curve
        (`CurveTest`); peak_layer, chosen on the selection split (peak_chosen; the last layer where that is too
        small), with peak_auroc, …, peak_p of that layer by itself and peak_q over the family's curves.
    """
    rows: list[dict[str, Any]] = []
    for question in dict.fromkeys(concept.questions.values()):
        family = {place: curve for place, curve in curves.items() if concept.questions[place.position_set] == question}
        tests = curve_tests([[scores for _, scores in curve] for curve in family.values()])
        rows += [
            _row(emergence, place, family[place], test, len(family)) for place, test in zip(family, tests, strict=True)
        ]
    return _with_peak_q(pl.DataFrame(rows, schema=SUMMARY), concept)


def _row(emergence: pl.DataFrame, place: Place, curve: Curve, test: CurveTest, curves: int) -> dict[str, Any]:
    part = emergence.filter(method=CURVE, **place._asdict())
    by_layer = {row["layer"]: row for row in part.iter_rows(named=True)}
    peak, chosen = peak_layer(part)
    onset = _onset(curve, test)
    at, best = by_layer[peak if onset is None else onset], by_layer[peak]
    return {
        **place._asdict(),
        "decision": at["decision"],
        "layers": len(curve),
        "curves": curves,
        "onset": onset,
        "layer": at["layer"],
        **{name: at[name] for name in _AT_LAYER},
        "p": test.p,
        "q": test.q,
        "peak_layer": peak,
        "peak_chosen": chosen,
        **{f"peak_{name}": best[name] for name in _AT_LAYER[:6]},
        "peak_p": dict(curve)[peak].p,
    }


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


def _with_peak_q(summary: pl.DataFrame, concept: Concept) -> pl.DataFrame:
    question = pl.col("position_set").replace_strict(dict(concept.questions), return_dtype=pl.String)
    families: Sequence[pl.DataFrame] = summary.with_columns(question=question).partition_by(
        "question", maintain_order=True
    )
    parts = [
        part.with_columns(peak_q=pl.Series(false_discovery_control(part["peak_p"].to_numpy()))) for part in families
    ]
    return pl.concat([summary.clear(), *(part.drop("question") for part in parts)])
