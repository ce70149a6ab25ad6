"""Packages installed for a test: the one that docs/python.md shows, as pip installs it, and those of one module."""

import re
import subprocess
import sys
from pathlib import Path

from tests.flows.commands import PROJECT

_BLOCK = re.compile(r"^```\w+\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shown_package() -> dict[str, str]:
    """The files of the page, by their names, which stand in their first lines."""
    return dict(_BLOCK.findall((PROJECT / "docs" / "python.md").read_text(encoding="utf-8")))


def install(files: dict[str, str], folder: Path) -> Path:
    """Build a package and install it into a folder of its own, to be put on PYTHONPATH; asks no network."""
    source, site = folder / "source", folder / "site"
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    words = ["install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(site), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True, text=True, timeout=120)
    return site


def leave(site: Path, group: str, point: str, code: str, package: str = "saeflow-mine", version: str = "1.0") -> None:
    """What pip leaves of a package of one module, whose entry point `point` of `group` names its POINT."""
    module = package.replace("-", "_")
    folder = site / f"{module}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (folder / "entry_points.txt").write_text(f"[{group}]\n{point} = {module}:POINT\n")
    (site / f"{module}.py").write_text(code)
