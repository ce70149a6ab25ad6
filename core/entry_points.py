"""What installed packages register with saeflow by entry points, told of by name and opened or refused in one line."""

import re
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from core.errors import BadInput, first_line

_NAME = re.compile(r"[a-z][a-z0-9_]*")
NAME_FAULT = "an entry point's name must be lower-case letters, digits and _; rename it"


class Registered(NamedTuple):
    """Something registered, as its package's metadata tells of it."""

    name: str
    package: str
    version: str

    @classmethod
    def of(cls, point: EntryPoint) -> "Registered":
        """What an entry point's package says."""
        package = point.dist
        assert package is not None  # only points that are made by hand have none
        return cls(point.name, package.name, package.version)

    def __str__(self) -> str:
        return f"{self.name} of {self.package} {self.version}"


def points(group: str) -> list[EntryPoint]:
    """The entry points of a group, by name; imports nothing of the packages."""
    return sorted(entry_points(group=group), key=lambda point: (point.name, point.value))


def load(point: EntryPoint, kind: str) -> object:
    """What an entry point names, imported; `kind` is what an error calls it.

    Raises:
        BadInput: it cannot be imported.
    """
    registered = Registered.of(point)
    try:
        return point.load()
    except Exception as error:  # whatever the package's code raises
        said = f"{type(error).__name__}: {first_line(error)}"
        fix = f"correct or uninstall {registered.package}"
        raise BadInput(f"{kind} {registered}: {point.value} cannot be imported ({said}); {fix}") from error


def is_name(name: str) -> bool:
    """Whether an entry point may be called so; `NAME_FAULT` says what is wrong otherwise."""
    return _NAME.fullmatch(name) is not None
