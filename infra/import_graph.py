"""The import graph between rooms: `python -m infra.import_graph [ROOT] [--list]`; ROOT may be another checkout.

A room is a folder of modules one level below `core/`, a loose file of `core/`, the folder of one analysis, or one of
the other top folders; a folder inside these (`flows/slurm`) is a room of its own. `core/__init__.py` belongs to none.
Every import statement counts, also one inside a function or under `TYPE_CHECKING`. Code that is named by a string
(an analysis' `run`, an entry point) does not count.
"""

import argparse
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grimp

PROJECT = Path(__file__).resolve().parent.parent
TOPS = ("core", "tasks", "flows", "cli", "explorer", "saeflow")
Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class House:
    """The modules of one checkout and what they import."""

    root: Path
    modules: grimp.ImportGraph

    @cached_property
    def rooms(self) -> dict[str, str]:
        """Each module's room."""
        folders = {name for name in self.modules.modules if (self.root / name.replace(".", "/")).is_dir()}
        return {name: _room(name, folders) for name in sorted(self.modules.modules) if name != "core"}

    @cached_property
    def files(self) -> dict[str, set[str]]:
        """What each module imports."""
        return {name: self.modules.find_modules_directly_imported_by(name) for name in sorted(self.modules.modules)}

    @cached_property
    def pairs(self) -> Counter[tuple[str, str]]:
        """How many pairs of modules make each import from one room to another."""
        found = ((self.rooms.get(name, ""), self.rooms.get(other, "")) for name, other in self.imports())
        return Counter((room, other) for room, other in found if room and other and room != other)

    def imports(self) -> Iterator[tuple[str, str]]:
        """Every pair of modules of which the first imports the second."""
        return ((name, other) for name, others in self.files.items() for other in sorted(others))

    def room_circles(self) -> list[tuple[str, ...]]:
        """Groups of rooms that all reach each other."""
        graph: dict[str, set[str]] = {room: set() for room in self.rooms.values()}
        for room, other in self.pairs:
            graph[room].add(other)
        return circles(graph)

    def within(self, circle: Iterable[str]) -> list[str]:
        """The imports between the rooms of a circle, module by module."""
        inside = set(circle)
        between = [
            (name, other) for name, other in self.imports() if {self.rooms.get(name), self.rooms.get(other)} <= inside
        ]
        return [f"{name} → {other}" for name, other in between if self.rooms[name] != self.rooms[other]]

    def against_floors(self) -> list[str]:
        """Imports, direct or through other modules, that a contract of the checkout's import-linter refuses."""
        text = (self.root / "pyproject.toml").read_text(encoding="utf-8")
        contracts = tomllib.loads(text).get("tool", {}).get("importlinter", {}).get("contracts", [])
        return sorted({line for contract in contracts for line in _refused(self.modules, contract)})


def read_house(root: Path) -> House:
    """The import graph of the checkout in `root`.

    Raises:
        SystemExit: the folder is no checkout, or this process has imported the modules of another one.
    """
    tops = [name for name in TOPS if (root / name / "__init__.py").is_file()]
    if "core" not in tops:
        raise SystemExit(f"{root}: no checkout of saeflow, it has no core/__init__.py")
    sys.path.insert(0, str(root))
    try:
        for name in tops:
            spec = find_spec(name)
            if spec is None or spec.origin is None or not Path(spec.origin).is_relative_to(root):
                raise SystemExit(f"{name} comes from {spec and spec.origin}, not from {root}; use a fresh process")
        return House(root, grimp.build_graph(*tops, cache_dir=None))
    finally:
        sys.path.remove(str(root))


def circles(graph: Graph) -> list[tuple[str, ...]]:
    """Groups of nodes that all reach each other, in order; a node alone is none."""
    reached = {node: _reached(graph, node) for node in graph}
    groups = {tuple(sorted(other for other in reached[node] if node in reached[other])) for node in graph}
    return sorted(group for group in groups if len(group) > 1)


def _reached(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    pending = [start]
    while pending:
        new = graph.get(pending.pop(), set()) - seen
        seen |= new
        pending.extend(new)
    return seen


def coarse(room: str) -> str:
    """The room, where analyses count as one and so do the folders of a top folder other than `core`."""
    parts = room.split(".")
    return ".".join(parts[: 2 if parts[0] == "core" else 1])


def _room(module: str, folders: set[str]) -> str:
    parts = module.split(".")
    depth = 3 if parts[:2] == ["core", "analysis"] else 2
    name = ".".join(parts[:depth])
    loose_file_of_core = parts[0] == "core" and len(parts) == 2
    return name if name in folders or loose_file_of_core else ".".join(parts[: min(depth, len(parts)) - 1])


def _refused(graph: grimp.ImportGraph, contract: Mapping[str, Any]) -> Iterator[str]:
    if contract["type"] == "layers":
        layers = [_layer(text) for text in contract["layers"]]
        containers = set(contract.get("containers", [])) or None
        for found in graph.find_illegal_dependencies_for_layers(layers, containers):
            for route in found.routes:
                yield " → ".join([", ".join(sorted(route.heads)), *route.middle, ", ".join(sorted(route.tails))])
    elif contract["type"] == "forbidden":
        for source in contract["source_modules"]:
            for name in contract["forbidden_modules"]:
                for chain in graph.find_shortest_chains(source, name, as_packages=True):
                    yield " → ".join(chain)
    else:
        raise SystemExit(f"pyproject.toml: a contract of type {contract['type']} is not known here; add it to _refused")


def _layer(text: str) -> grimp.Layer:
    names = [name.strip(" ()") for name in text.replace("|", ":").split(":")]
    return grimp.Layer(*names, independent=":" not in text)


def _told(house: House, every_pair: bool) -> Iterator[str]:
    between, files = house.room_circles(), circles(house.files)
    refused = house.against_floors()
    rooms = set(house.rooms.values())
    folded = {(coarse(room), coarse(other)) for room, other in house.pairs}
    fewer = len({coarse(room) for room in rooms}), sum(room != other for room, other in folded)
    yield f"{len(rooms):>5} rooms"
    yield f"{len(house.pairs):>5} imports between rooms ({sum(house.pairs.values())} between their modules)"
    yield f"      ({fewer[0]} and {fewer[1]}, with all analyses as one room and all of flows/ as one)"
    yield f"{len(between):>5} circles between rooms"
    for circle in between:
        yield from (f"      {' ↔ '.join(circle)}", *(f"        {line}" for line in house.within(circle)))
    yield f"{len(files):>5} circles between files"
    yield from (f"      {' ↔ '.join(circle)}" for circle in files)
    yield f"{len(refused):>5} imports against the floors"
    yield from (f"      {line}" for line in refused)
    if every_pair:
        yield from (f"{count:>5} {room} → {other}" for (room, other), count in sorted(house.pairs.items()))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=Path, default=PROJECT, help="a checkout; this one by default")
    parser.add_argument("--list", action="store_true", help="every pair of rooms, with how many pairs of modules")
    arguments = parser.parse_args()
    print("\n".join(_told(read_house(arguments.root.resolve()), arguments.list)))


if __name__ == "__main__":
    main()
