"""Write the report of a concept scan: a page that fetches nothing, and the same in Markdown."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from core.figures.writers import FigureFile, write_figure
from core.report import text
from core.report.columns import TableView
from core.report.concept.cards import cards
from core.report.concept.collected import ScanReport
from core.report.concept.figures import figures
from core.report.concept.headings import view
from core.report.contents import flat
from core.report.rendering import figure_view, templates
from core.report.sentences import sentences
from core.stats.estimate import Estimate
from core.study.variant import title

PAGE, MARKDOWN = "report.html", "report.md"
_SHOWN = (
    ("baselines", "AUROC on held-out sentences, method by method"),
    ("comparisons", "The chosen feature less each of them"),
    ("permutation", "The best of all features beside exchanged labels"),
)
_TOP = (
    "rank",
    "sae",
    "feature",
    "support",
    "spearman",
    "q_spearman",
    "partial_spearman",
    "auroc_3_0_held_out",
    "auroc_3_0_held_out_low",
    "auroc_3_0_held_out_high",
    "stability",
)


def write_scan_report(report: ScanReport, out: Path) -> Path:
    """Write `report.html`, `report.md` and `figures/` below `out`; return the page. Equal inputs give equal bytes.

    Raises:
        OSError: the disk is full.
        ValueError: a figure cannot be drawn.
    """
    folder = out / "figures"
    drawn = {name: write_figure(figure, name, folder) for name, figure in figures(report).items()}
    views = [figure_view(number, name, file) for number, (name, file) in enumerate(drawn.items(), start=1)]
    context = {
        "title": title(report.scan),
        "description": report.scan["description"],
        "facts": tuple(_facts(report)),
        "findings": _said(one for one in report.estimates if one.answers or one.described),
        "beside": _said(one for one in report.estimates if not (one.answers or one.described)),
        "figures": dict(zip(drawn, views, strict=True)),
        "tables": tuple(view(name, heading, report.tables[name]) for name, heading in _SHOWN),
        "top": _top(report),
        "cards": cards(report),
        "output": view("output_scores", "Promoted features", report.output) if report.output.height else None,
        "matches": view("matches", "The same direction in neighbouring layers", report.matches)
        if report.matches.height
        else None,
        "saes": view("saes", "Every SAE", _saes(report)),
        "left_out": report.left_out,
        "dropped": view("dropped", "Sentences left out", report.dropped) if report.dropped.height else None,
        "settings": flat(dict(report.scan)),
    }
    (out / PAGE).write_text(templates().get_template("concept.html.j2").render(context), encoding="utf-8")
    (out / MARKDOWN).write_text("\n".join(_markdown(report, drawn)) + "\n", encoding="utf-8")
    return out / PAGE


def _said(estimates: Iterable[Estimate]) -> tuple[Markup, ...]:
    return tuple(text.mixed(line) for line in sentences(estimates))


def _top(report: ScanReport) -> TableView:
    return view("top_features", "The best features", report.top.select(_TOP))


def _top_rows(report: ScanReport) -> Iterator[str]:
    """The same table in Markdown."""
    yield "| " + " | ".join(column.heading for column in _top(report).columns) + " |"
    yield "|" + "---|" * len(_TOP)
    for row in report.top.select(_TOP).iter_rows():
        yield "| " + " | ".join(text.number(value) if isinstance(value, float) else str(value) for value in row) + " |"


def _facts(report: ScanReport) -> Iterator[tuple[str, str]]:
    summary = report.summary
    counts: Mapping[str, Any] = {
        "SAEs": summary["saes"],
        "features": summary["features"],
        "tested": summary["tested"],
        "selection sentences": summary["sentences"]["selection"],
        "held-out sentences": summary["sentences"]["held_out"],
    }
    for name, value in counts.items():
        yield f"{value:,}", name
    yield str(report.scan["language"]), "language"


def _saes(report: ScanReport) -> pl.DataFrame:
    best = (
        report.tables["ranking"]
        .group_by("sae")
        .agg(pl.len().alias("tested"), pl.col("spearman").abs().max().alias("best_spearman"))
    )
    rows = [
        {"sae": one["key"], "layer": one["layer"], "width": one["width"], "declared_l0": one["l0"]}
        for one in report.saes
    ]
    schema = {"sae": pl.String, "layer": pl.Int64, "width": pl.Int64, "declared_l0": pl.Float64}
    measured = pl.col("sae").replace_strict(report.measured_l0, return_dtype=pl.Float64).alias("measured_l0")
    return (
        pl.DataFrame(rows, schema=schema).with_columns(measured).join(best, on="sae", how="left", maintain_order="left")
    )


def _markdown(report: ScanReport, drawn: Mapping[str, FigureFile]) -> Iterator[str]:
    yield f"# {title(report.scan)}\n"
    yield f"{report.scan['description']}\n"
    yield from (f"- {name}: **{value}**" for value, name in _facts(report))
    yield "\n## What was found\n"
    yield from (f"- {line}" for line in sentences(report.estimates))
    for name, figure in drawn.items():
        yield f"\n![{figure.alt}](figures/{name}.png)\n\n{figure.caption}"
    yield "\n## The best features\n"
    yield from _top_rows(report)
    if report.left_out:
        yield "\n## SAEs left out\n"
        yield from (f"- {key}: {why}" for key, why in report.left_out.items())
