"""Write a report: page, Markdown, and the files that the Markdown refers to."""

import re
import shutil
from pathlib import Path

import polars as pl

from core.figures.writers import FigureFile, write_figure
from core.report import study_figures as study
from core.report.markdown import PROVENANCE_BEGINS, PROVENANCE_ENDS, render_markdown
from core.report.model import ReportInputs
from core.report.page import render_page

PAGE = "report.html"
MARKDOWN = "report.md"
_HTML_PROVENANCE = re.compile(r'<section id="provenance">.*?</section>', re.DOTALL)
_MARKDOWN_PROVENANCE = re.compile(f"{PROVENANCE_BEGINS}.*?{PROVENANCE_ENDS}", re.DOTALL)


def write_report(inputs: ReportInputs, out: Path) -> Path:
    """Write `report.html`, `report.md`, `figures/`, `images/` and `tables/` below `out`; return the page.

    Equal inputs give equal bytes; clock, host and dates stand in the provenance section alone.

    Raises:
        OSError: a figure's file is missing, or the disk is full.
        ValueError: a figure cannot be drawn.
    """
    figures = out / "figures"
    own = _own_figures(inputs, figures)
    for section in inputs.sections:
        for figure in section.figures:
            shutil.copyfile(figure.png, figures / f"{section.key}-{figure.name}.png")
    _store_tables(inputs, out / "tables")
    (out / PAGE).write_text(render_page(inputs, own), encoding="utf-8")
    markdown = render_markdown(inputs, own)
    (out / MARKDOWN).write_text(markdown.text, encoding="utf-8")
    for name, picture in markdown.pictures.items():
        (out / "images").mkdir(exist_ok=True)
        (out / "images" / name).write_bytes(picture.content)
    return out / PAGE


def _store_tables(inputs: ReportInputs, folder: Path) -> None:
    """The report's own tables whole, as `NAME.parquet`; those of analyses lie with their results."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("sae", "sweep", "origins", "health", "dropped"):
        table: pl.DataFrame = getattr(inputs, name)
        if table.height:
            table.write_parquet(folder / f"{name}.parquet", statistics=False)


def _own_figures(inputs: ReportInputs, folder: Path) -> dict[str, FigureFile]:
    """The study's own figures, as `study-NAME.*`, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, pl.DataFrame] = {
        "samples": inputs.samples,
        "sae": inputs.sae,
        "history": inputs.history,
        "health": inputs.health,
        "sweep": inputs.sweep,
        "density": inputs.density,
        "l0": inputs.l0,
    }
    written = {
        name: write_figure(figure, f"study-{name}", folder)
        for name, figure in study.figures(tables, inputs.concepts).items()
    }
    return {name: FigureFile(name, file.spec, file.png, file.caption, file.alt) for name, file in written.items()}


def without_provenance(report: str) -> str:
    """A report's text (either kind) without the one section that may differ between two equal runs."""
    return _MARKDOWN_PROVENANCE.sub("", _HTML_PROVENANCE.sub("", report))
