"""The best features of a scan as cards: what is known of each, and sentences on which it fires."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from markupsafe import Markup, escape

from core.report import text
from core.report.cards import FeatureCard
from core.report.columns import columns_of, entry, powers
from core.report.concept.collected import ScanReport
from core.report.concept.headings import headed
from core.report.pictures import Pictures

NEURONPEDIA = "https://www.neuronpedia.org"
_EXAMPLE = ("label", "strip", "max", "full")


def cards(report: ScanReport) -> tuple[FeatureCard, ...]:
    """One card per feature, the best first."""
    neuronpedia = {one["key"]: one["neuronpedia"] for one in report.saes}
    return tuple(_card(report, row, neuronpedia[row["sae"]]) for row in report.top.iter_rows(named=True))


def _card(report: ScanReport, row: Mapping[str, Any], neuronpedia: str | None) -> FeatureCard:
    here = (pl.col("sae") == row["sae"]) & (pl.col("feature") == row["feature"])
    shown = report.examples.filter(here).select(_EXAMPLE)
    columns = headed("examples", columns_of(shown))
    rows = tuple(tuple(entry(column, one, Pictures(None)) for column in columns) for one in shown.iter_rows(named=True))
    facts = tuple(_facts(report, row, here, neuronpedia))
    return FeatureCard(f"{row['rank']}. {row['sae']} · feature {row['feature']}", facts, columns, rows)


def _facts(
    report: ScanReport, row: Mapping[str, Any], here: pl.Expr, neuronpedia: str | None
) -> Iterator[tuple[str, Markup]]:
    yield "Spearman", _interval(row, "spearman", "spearman_low", "spearman_high")
    yield "q", powers(text.p_value(row["q_spearman"]))
    yield "p of the best", powers(text.p_value(row["p_best"]))
    yield (
        "AUROC, 3 against 0",
        _interval(row, "auroc_3_0_held_out", "auroc_3_0_held_out_low", "auroc_3_0_held_out_high"),
    )
    yield (
        "AUROC, 2–3 against 0–1",
        _interval(row, "auroc_23_01_held_out", "auroc_23_01_held_out_low", "auroc_23_01_held_out_high"),
    )
    for found in report.tables["maxima"].filter(here).iter_rows(named=True):
        yield "AUROC of the maximum over fragments", escape(_maximum(found))
    yield "Partial Spearman", escape(text.number(row["partial_spearman"]))
    yield "Kendall τ-b", escape(text.number(row["kendall"]))
    yield "Isotonic R²", escape(text.number(row["isotonic_r2"]))
    yield "Inversions", escape(row["inversions"])
    yield "Among the best again", escape(_stability(report, row))
    yield "Fires on", escape(f"{row['support']} selection sentences")
    for score in report.output.filter(here).iter_rows(named=True):
        yield "Output score", escape(_output(score))
    for way in ("promoted", "suppressed"):
        tokens = report.tokens.filter(here & (pl.col("direction") == way))["token"].to_list()
        if tokens:
            yield way.capitalize(), text.mixed(", ".join(repr(text.token_text(token).strip()) for token in tokens[:8]))
    near = report.matches.filter(here).sort("cosine", descending=True).head(3)
    if near.height:
        yield "Nearest beside it", Markup("; ").join(_match(one) for one in near.iter_rows(named=True))
    if neuronpedia:
        address = f"{NEURONPEDIA}/{neuronpedia}/{row['feature']}"
        yield (
            "Neuronpedia",
            Markup('<a href="{}" rel="noreferrer">{}</a>').format(address, f"{neuronpedia}/{row['feature']}"),
        )


def _interval(row: Mapping[str, Any], value: str, low: str, high: str) -> Markup:
    ends = (row[low], row[high])
    words = ", ".join(text.number(end) for end in ends)
    return escape(f"{text.number(row[value])} [{words}]")


def _maximum(found: Mapping[str, Any]) -> str:
    """3 against 0 as everywhere beside it, among sentences of like length alone."""
    if found["auroc"] is None:
        return "no two sentences of like length"
    return f"{_interval(found, 'auroc', 'low', 'high')}, 3 against 0, {found['pairs']:,} pairs of like length"


def _stability(report: ScanReport, row: Mapping[str, Any]) -> str:
    """Where all tested features are chosen, each is among the best in every resample, and nothing is said by it."""
    best, tested = min(report.summary["settings"]["top"], report.summary["tested"]), report.summary["tested"]
    if row["stability"] is None or math.isnan(row["stability"]) or best == tested:
        return f"not known (best {best:,} of {tested:,} tested)"
    return f"{100 * row['stability']:.0f} % of resamples (best {best:,} of {tested:,} tested)"


def _output(score: Mapping[str, Any]) -> str:
    own, low, high = (text.number(score[name]) for name in ("score", "low", "high"))
    way = "promoted" if score["sign"] > 0 else "taken away"
    if not score["draws"]:
        return (
            f"{own} [{low}, {high}] nats per token when {way}; no feature fires as often, so that nothing is compared"
        )
    ends = ", ".join(text.number(score[name]) for name in ("control_low", "control_high"))
    return (
        f"{own} [{low}, {high}] nats per token when {way}, comparable features {ends}, q = {text.p_value(score['q'])}"
    )


def _match(one: Mapping[str, Any]) -> Markup:
    spearman = f", Spearman {text.number(one['other_spearman'])}" if one["other_spearman"] is not None else ""
    words = f"{one['other_sae']} · {one['other_feature']} (cosine {text.number(one['cosine'], 2)}{spearman})"
    return escape(words)
