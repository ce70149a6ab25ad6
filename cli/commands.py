"""The commands of `saeflow` by name: the module of each is imported when the command, or help, is asked for."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

_PLACES = {
    "run": "cli.run:run",
    "plan": "cli.look:plan",
    "layer": "cli.layer:layer",
    "status": "cli.look:status",
    "compare": "cli.compare:compare_",
    "explore": "cli.explore:explore",
    "export": "cli.export:export",
    "convert-config": "cli.convert:convert_config",
    "import-sae": "cli.convert:import_sae",
    "import-activations": "cli.convert:import_activations",
    "doctor": "cli.look:doctor",
    "serve": "cli.serve:serve",
    "verify": "cli.store:verify",
    "gc": "cli.store:gc",
    "mcp": "cli.mcp:mcp",
    "notify": "cli.notify:notify",
    "store": "cli.activation_store:app",
    "cluster": "cli.cluster:app",
    "concept": "cli.concept:app",
    "catalogue": "cli.catalogue:app",
    "feature": "cli.feature:app",
}
"""In the order of the help: a function is a command, an `app` a group of them."""


class _Commands(Mapping[str, TyperCommand | TyperGroup]):
    def __getitem__(self, name: str) -> TyperCommand | TyperGroup:
        module, _, attribute = _PLACES[name].partition(":")
        found = getattr(import_module(module), attribute)
        command: TyperCommand | TyperGroup = get_group(found) if isinstance(found, typer.Typer) else _alone(found)
        command.name = name
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


class Commands(TyperGroup):
    """The group of all commands; one command imports what it needs and not what the others do."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _Commands()})


def _alone(function: Callable[..., None]) -> Any:
    app = typer.Typer(rich_markup_mode="rich", add_completion=False)
    app.command()(function)
    return get_command(app)
