"""The commands of `saeflow` by name: the module of each is imported when the command is asked for; help is read out of
its source, for to import all of them takes seconds."""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

PLACES = {
    "run": "cli.run:run",
    "plan": "cli.look:plan",
    "layer": "cli.layer:layer",
    "status": "cli.look:status",
    "compare": "cli.compare:compare_",
    "explore": "cli.explore:explore",
    "export": "cli.export:export",
    "figures": "cli.figures:figures",
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
        module, _, attribute = PLACES[name].partition(":")
        found = getattr(import_module(module), attribute)
        command: TyperCommand | TyperGroup = get_group(found) if isinstance(found, typer.Typer) else _alone(found)
        command.name = name
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


class _Told(_Commands):
    """The same commands with their words alone."""

    def __getitem__(self, name: str) -> TyperCommand:
        return TyperCommand(name, help=told(PLACES[name]))


class Commands(TyperGroup):
    """The group of all commands; one command imports what it needs and not what the others do."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _Commands()})

    def format_help(self, *words: Any) -> None:
        """Write the help that lists the commands."""
        with self._told():
            super().format_help(*words)

    def shell_complete(self, *words: Any) -> Any:
        """The commands that begin with what was typed."""
        with self._told():
            return super().shell_complete(*words)

    @contextmanager
    def _told(self) -> Iterator[None]:
        known, self.commands = self.commands, cast(Any, _Told())
        try:
            yield
        finally:
            self.commands = known


def told(place: str) -> str:
    """The help of the command or group at `module:name`, as its source has it."""
    module, _, name = place.partition(":")
    found = find_spec(module)
    assert found is not None and found.origin is not None
    for node in ast.parse(Path(found.origin).read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return ast.get_docstring(node) or ""
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name and isinstance(node.value, ast.Call):
            given = {word.arg: word.value for word in node.value.keywords}
            return inspect.cleandoc(str(ast.literal_eval(given["help"])))
    raise LookupError(place)


def _alone(function: Callable[..., None]) -> Any:
    app = typer.Typer(rich_markup_mode="rich", add_completion=False)
    app.command()(function)
    return get_command(app)
