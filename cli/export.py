"""`saeflow export`: captured layers as files that other tools read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.bar import bar
from cli.run import SetOption, StudyArgument
from cli.terminal import console
from core.activations.exchange import Format
from core.errors import BadInput
from core.planning.graph import Plan
from core.planning.survey import survey
from core.store.folders import refuse_filled
from core.store.units import Unit
from core.store.workspace import Workspace
from core.study.layers import parse_layers
from flows.runtime.settings import open_study, read_settings


def export(
    study: StudyArgument,
    layers: Annotated[str, typer.Argument(help="Layers: 17, 0-3,9 or all.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Where to: a new folder, or an empty one.", show_default=False)],
    format_: Annotated[Format, typer.Option("--format", help="What the matrices are written as.")] = "npy",
    set_: SetOption = None,
) -> None:
    """Write captured layers as float32 matrices, one row per token, beside a table of the tokens.

    FOLDER gets layer_17.npy (.parquet, .zarr) and so on, tokens.parquet and
    index.json; row i is the same token in all. Read it with NumPy, polars,
    pandas or zarr. A study takes its rows from it with
    --set capture.precomputed=FOLDER.

    [dim]saeflow export demo 17 rows
    saeflow export demo 0-33 rows --format parquet[/dim]
    """
    settings = read_settings()
    seen = survey(open_study(study, set_ or ()), settings.workspace)
    chosen = _layers(layers, seen.layers)
    if seen.plan is None:
        raise BadInput(f"nothing of the study is captured yet; `saeflow run {study}` does it")
    units = [seen.plan.stage("extract_layer")[seen.plan.layers.index(layer)] for layer in chosen]
    _refuse_missing(units, seen.plan, settings.workspace, study)
    folder = folder.expanduser().resolve()
    from core.activations.export import export_layers  # torch: a second or two
    from core.activations.table import LayerTable

    refuse_filled(folder)
    store = settings.workspace.store
    shards = [store.path(unit.artifact) for unit in seen.plan.stage("capture")]
    tables = [
        LayerTable.open(shards, layer, keep=store.path(unit.artifact))
        for layer, unit in zip(chosen, units, strict=True)
    ]
    with bar("writing") as progress:
        index = export_layers(tables, folder, format_, progress)
    named = f"layer{'s' if len(chosen) > 1 else ''} {', '.join(map(str, chosen))}"
    console.print(f"[green]✓[/green] {named}: {index.rows:,} rows of {index.d_model} numbers, {index.dtype}")
    console.print(f"  {folder}", markup=False)


def _layers(text: str, there: Sequence[int] | None) -> list[int]:
    try:
        wanted = parse_layers(text)
    except ValueError as error:
        raise BadInput(str(error)) from error
    if wanted == "all" or there is None:
        return list(there or ())
    missing = [layer for layer in wanted if layer not in there]
    if missing:
        raise BadInput(f"layer {missing[0]} is not among the study's layers ({', '.join(map(str, there))})")
    return list(wanted)


def _refuse_missing(units: Sequence[Unit], plan: Plan, workspace: Workspace, study: str) -> None:
    present = workspace.present([*plan.stage("capture"), *units])
    missing = [unit.label for unit in (*plan.stage("capture"), *units) if unit.artifact not in present]
    if missing:
        raise BadInput(
            f"{', '.join(missing[:3])}: not made yet or damaged; `saeflow run {study}` makes what is missing"
        )
