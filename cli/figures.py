"""`saeflow figures`: a study's figures as files for a paper or a slide."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cli.bar import bar
from cli.terminal import console
from core.errors import BadInput
from core.reading.figures import StudyFigure
from core.reading.records import open_by_name
from core.reading.study import OpenedStudy
from flows.runtime.settings import read_settings

_STUDY = "A study that has run: its name, or a variant's title or key as `saeflow status` lists them."
_NAMES = "Figures, as the list has them; all of them if none is named."
_FORMATS = "Comma-separated: svg, pdf, png, html, json."
_OUT = "Folder to write to; without it, the figures are listed."


def figures(
    study: Annotated[str, typer.Argument(help=_STUDY, show_default=False)],
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=_NAMES, show_default=False)] = None,
    formats: Annotated[str, typer.Option("--format", metavar="FORMATS", help=_FORMATS)] = "svg,pdf",
    out: Annotated[Path | None, typer.Option(help=_OUT, show_default=False)] = None,
) -> None:
    """List a study's figures, or write them as vector files (SVG, PDF) and others.

    Without --out, names and captions are listed. With it, FOLDER gets one file
    per figure and format, ablation-effects.svg and so on; a file of that name
    is replaced. A PDF embeds its font; an SVG draws its text as outlines: both
    look the same on every machine, Arabic included.

    [dim]saeflow figures demo
    saeflow figures demo --out paper/figures
    saeflow figures demo ablation-effects --format pdf --out paper/figures[/dim]
    """
    wanted = _formats(formats)
    opened = open_by_name(read_settings().workspace, study)
    found = _chosen(opened, names or [])
    if out is None:
        console.print(_listed(found))
        console.print(f"  Write them: saeflow figures {study} --out FOLDER", markup=False)
        return
    folder = out.expanduser().resolve()
    _write(found, wanted, folder)
    console.print(f"[green]✓[/green] {len(found)} figures as {', '.join(wanted)}")
    console.print(f"  {folder}", markup=False)


def _formats(text: str) -> Sequence[str]:
    from core.figures.vector import FORMATS  # it loads Altair

    wanted = list(dict.fromkeys(name.strip().lower() for name in text.split(",")))
    for name in wanted:
        if name not in FORMATS:
            raise BadInput(f"--format {text}: {name!r} is no format of a figure; there are {', '.join(FORMATS)}")
    return wanted


def _chosen(study: OpenedStudy, names: Sequence[str]) -> Mapping[str, StudyFigure]:
    """The named figures, or all of a study that is finished."""
    if names:
        return {name: study.figure(name) for name in names}
    if not study.finished:
        raise BadInput(f"study {study.key}: is unfinished, name the figures to write; saeflow run {study.name} ends it")
    return {name: study.figure(name) for name in study.figures}


def _listed(found: Mapping[str, StudyFigure]) -> Table:
    table = Table("figure", "caption", box=None, padding=(0, 2, 0, 2))
    for name, figure in found.items():
        table.add_row(name, escape(figure.caption))
    return table


def _write(found: Mapping[str, StudyFigure], formats: Sequence[str], folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--out {folder}: is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    files = [(figure, folder / f"{name}.{format_}") for name, figure in found.items() for format_ in formats]
    with bar("drawing") as progress:
        for done, (figure, path) in enumerate(files):
            progress(done, len(files))
            figure.save(path)
