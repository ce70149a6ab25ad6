"""The README's file map, out of the files' own first lines: `python -m infra.file_map` writes it."""

import ast
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
README = PROJECT / "README.md"
_ROOMS = ("core", "tasks", "flows", "cli", "explorer", "infra", "benchmarks")
_BEGIN, _END = "<!-- file map: python -m infra.file_map -->", "<!-- end of the file map -->"


def file_map() -> str:
    """One line a file: its path and the first sentence of its docstring; private modules stand under their room."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split()
    paths = sorted(name for name in set(listed) if name.split("/")[0] in _ROOMS and (PROJECT / name).is_file())
    lines = [f"{name:<42} {line}" for name in paths if (line := _first_line(PROJECT / name))]
    return "\n".join(["```", *lines, "```"])


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def with_map(readme: str) -> str:
    """The README's text with the map of today between its marks."""
    before, _, rest = readme.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{file_map()}\n{_END}{after}"


if __name__ == "__main__":
    README.write_text(with_map(README.read_text(encoding="utf-8")), encoding="utf-8")
