"""Rooms, floors and file map of docs/architecture.md, out of the tree: `python -m infra.file_map` writes them."""

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

from infra.import_graph import read_house

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs" / "architecture.md"
_FOLDERS = ("core", "tasks", "flows", "cli", "saeflow", "explorer", "infra", "benchmarks")
_FROM_THE_TOP = ("cli", "saeflow", "explorer", "flows", "tasks", "core")


def file_map() -> str:
    """One line per file: its path and the first sentence of its docstring; private modules stand under their room."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split()
    paths = sorted(name for name in set(listed) if name.split("/")[0] in _FOLDERS and (PROJECT / name).is_file())
    lines = [f"{name:<42} {line}" for name in paths if (line := _first_line(PROJECT / name))]
    return "\n".join(["```", *lines, "```"])


def rooms() -> str:
    """One line per room: its folder or file and the first sentence of its docstring."""
    names = sorted(set(read_house(PROJECT).rooms.values()), key=lambda name: (_FROM_THE_TOP.index(_top(name)), name))
    lines = [f"| `{_place(name)}` | {_first_line(_file(name))} |" for name in names]
    return "\n".join(["| room | what it holds |", "|---|---|", *lines])


def floors() -> str:
    """The layers that import-linter holds, the top one first; rooms in one line are beside each other."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return "\n".join(["```", *_told(contracts["contracts"]), "```"])


def _told(contracts: list[dict[str, list[str]]]) -> Iterator[str]:
    for contract in contracts:
        yield f"{contract['name']}:"
        yield from (f"    {layer}" for layer in contract.get("layers", ()))
        if "forbidden_modules" in contract:
            sources, others = contract["source_modules"], contract["forbidden_modules"]
            yield f"    not from {', '.join(sources)} to {', '.join(others)}"


def _top(room: str) -> str:
    return room.partition(".")[0]


def _file(room: str) -> Path:
    place = PROJECT / room.replace(".", "/")
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _place(room: str) -> str:
    file = _file(room).relative_to(PROJECT)
    return f"{file.parent}/" if file.name == "__init__.py" else str(file)


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


PARTS = {"rooms": rooms, "floors": floors, "file map": file_map}
"""What stands between `<!-- NAME: python -m infra.file_map -->` and `<!-- end of NAME -->`."""


def with_parts(page: str) -> str:
    """The page with today's parts between their marks."""
    for name, part in PARTS.items():
        begin, end = f"<!-- {name}: python -m infra.file_map -->", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{part()}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(with_parts(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
