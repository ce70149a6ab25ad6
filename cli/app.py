"""The `saeflow` command's own commands and options."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli import (
    activation_store,
    cluster,
    compare,
    concept,
    convert,
    explore,
    export,
    feature,
    layer,
    look,
    mcp,
    notify,
    run,
    serve,
    store,
)
from flows.runtime.environment import settle

app = typer.Typer(
    name="saeflow",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="""Where does a concept live in a vision-language model?

    A study (a YAML file) goes from samples to a report: captured activations, one sparse autoencoder a layer, seven
    analyses. Everything is cached: run the same command again and only what is missing is made.

    [bold]First steps[/bold]:  saeflow plan demo  ·  saeflow run demo  ·  saeflow serve""",
)
app.command(name="run")(run.run)
app.command(name="plan")(look.plan)
app.command(name="layer")(layer.layer)
app.command(name="status")(look.status)
app.command(name="compare")(compare.compare_)
app.command(name="explore")(explore.explore)
app.command(name="export")(export.export)
app.command(name="convert-config")(convert.convert_config)
app.command(name="import-sae")(convert.import_sae)
app.command(name="import-activations")(convert.import_activations)
app.command(name="doctor")(look.doctor)
app.command(name="serve")(serve.serve)
app.command(name="verify")(store.verify)
app.command(name="gc")(store.gc)
app.command(name="mcp")(mcp.mcp)
app.command(name="notify")(notify.notify)
app.add_typer(activation_store.app, name="store")
app.add_typer(cluster.app, name="cluster")
app.add_typer(concept.app, name="concept")
app.add_typer(feature.app, name="feature")


@app.callback()
def _options(
    workspace: Annotated[
        Path | None,
        typer.Option(help="Folder that holds everything made (default: $SAEFLOW_WORKSPACE, else ./workspace)."),
    ] = None,
) -> None:
    settle()
    os.environ.pop("SAEFLOW_FOLDER", None)  # of a process around this one: paths start where this command was typed
    if workspace is not None:
        os.environ["SAEFLOW_WORKSPACE"] = str(workspace.expanduser().resolve())
