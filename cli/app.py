"""The `saeflow` command's own commands and options."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.commands import Commands
from flows.runtime.environment import settle

app = typer.Typer(
    name="saeflow",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="""Where does a concept live in a vision-language model?

    A study (a YAML file) goes from samples to a report: captured activations,
    one sparse autoencoder per layer, seven analyses. Everything is cached: run the
    same command again and only what is missing is made.

    [bold]First steps[/bold]:  saeflow plan demo  ·  saeflow run demo  ·  saeflow serve""",
)


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
