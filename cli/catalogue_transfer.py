"""`saeflow catalogue import | export`: catalogues of older pipelines in, and tables as other tools read them out."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
import typer
from rich.markup import escape

from cli.catalogue_tables import CatalogueName, Which, sae_of
from cli.terminal import console, warn
from core.errors import BadInput
from core.explain.collected import INFLUENCES
from core.explain.csv_export import export_csv
from core.explain.named import FROZEN
from core.explain.neuronpedia import STATISTICS, Beside, Release, export_neuronpedia
from core.features.influence import PROMOTED
from core.reading.catalogues import OpenedCatalogue, catalogue_by_name
from core.reading.records import open_by_name
from core.reading.study import OpenedStudy
from core.store.workspace import Workspace
from flows.runtime.settings import read_settings


def import_(
    folder: Annotated[Path, typer.Argument(help="What an older pipeline left.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(help="What the catalogue is called here (default: the folder's name).")
    ] = None,
    sae: Annotated[
        str | None, typer.Option("--sae", help="What its SAE is called in the tables (default: as the files say).")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="PART=MODEL", help="Full name of a model that folders abbreviate; repeatable."),
    ] = None,
) -> None:
    """Read explanations, scores and tables of an older pipeline into a catalogue of this workspace.

    Takes folders with explanations/*.txt per source, raw score files,
    scores.json per pair of scorer and explainer, feature_similarities.json, and
    older Parquet tables.

    [dim]saeflow catalogue import ~/old-run --name older --model llama_e=meta-llama/Llama-3.1-70B[/dim]
    """
    from core.explain.importing.kept import Older, keep

    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise BadInput(f"catalogue import {folder}: is no folder; name the one that the pipeline wrote")
    called = name or folder.name.lower().replace(" ", "-")
    workspace = read_settings().workspace
    workspace.check_writable()
    _, found = keep(Older(folder, dict(map(_pair, model or ())), sae), called, workspace)
    warn(found.notes)
    told = ", ".join(f"{table} {rows.height:,}" for table, rows in found.tables.items())
    console.print(f"[green]✓[/green] {escape(called)}: rows of {told}")
    console.print(f"  tables  {workspace.published_catalogue(called)}", markup=False)


def _pair(text: str) -> tuple[str, str]:
    part, equals, whole = text.partition("=")
    if not (part and equals and whole):
        raise BadInput(f"--model {text!r}: write PART=MODEL, as llama_e=meta-llama/Llama-3.1-70B")
    return part, whole


def export(
    catalogue: CatalogueName,
    folder: Annotated[Path, typer.Argument(help="Where to: a new folder, or an empty one.", show_default=False)],
    to: Annotated[
        Literal["neuronpedia", "csv"],
        typer.Option("--to", help="Neuronpedia's files of one SAE, or every table as CSV."),
    ],
    layer: Annotated[
        int | None, typer.Option("--layer", "-l", min=0, help="With neuronpedia: the SAE's layer.")
    ] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="With neuronpedia: of the frozen dictionary.")] = False,
    sae: Annotated[str | None, typer.Option("--sae", help="With neuronpedia: the SAE, in place of its layer.")] = None,
    model: Annotated[
        str | None, typer.Option(help="With neuronpedia: the model's id there (default: the study's model).")
    ] = None,
    creator: Annotated[str, typer.Option(help="With neuronpedia: who made it.")] = "saeflow",
) -> None:
    """Write a catalogue as CSV, or as the files that Neuronpedia imports.

    [dim]saeflow catalogue export demo demo-csv --to csv
    saeflow catalogue export demo tree --to neuronpedia --layer 17 --model my-captioner[/dim]
    """
    workspace = read_settings().workspace
    opened, folder = catalogue_by_name(workspace, catalogue), folder.expanduser().resolve()
    if to == "csv":
        place = export_csv(opened.folder, folder)
    else:
        sae_id = sae_of(opened, Which(layer, frozen, sae))
        number = _layer_of(sae_id) if layer is None else layer
        study = _study(workspace, opened)
        release = _release(opened, study, number, creator)
        release = release if model is None else replace(release, model=model)
        place = export_neuronpedia(opened.folder, folder, release, sae_id, _beside(study, number, sae_id))
    console.print(f"[green]✓[/green] {escape(opened.title)}: {place}", highlight=False)


def _layer_of(sae_id: str) -> int:
    number = sae_id.removesuffix(FROZEN).rpartition("/layer_")[2]
    if not number.isdecimal():
        raise BadInput(f"--layer: {sae_id} does not say its layer; name it")
    return int(number)


def _study(workspace: Workspace, opened: OpenedCatalogue) -> OpenedStudy | None:
    """The study that the catalogue explains, where it is still in the workspace."""
    try:
        return open_by_name(workspace, str(opened.record["catalogue"]["study"]))
    except BadInput:
        return None


def _release(opened: OpenedCatalogue, study: OpenedStudy | None, layer: int, creator: str) -> Release:
    """What Neuronpedia is told of one layer's SAE."""
    named = Path(str(study.config["model"].get("path") or study.name)).name if study else opened.record["name"]
    source_set = _plain(opened.record["name"])
    title = str(opened.record["catalogue"].get("description") or opened.title)
    layers = len(study.layers) if study else 0
    return Release(_plain(named), layer, source_set, source_set, title, creator, layers)


def _plain(name: str) -> str:
    """A name of letters, digits, `-`, `_` and `.` alone."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)


def _beside(study: OpenedStudy | None, layer: int, sae_id: str) -> Beside:
    """How often the SAE's features fire and what they promote, where the study still says it."""
    of = study.frozen if study is not None and sae_id.endswith(FROZEN) else study
    if of is None or layer not in of.layers:
        return Beside()
    statistics = of.index(layer).features.select("feature", "density").cast(STATISTICS)
    described = of.described(layer)
    file = None if described is None else described / INFLUENCES
    if file is None or not file.is_file():
        return Beside(statistics)
    return Beside(statistics, pl.read_parquet(file, glob=False).cast(PROMOTED))
