"""Analyses of installed packages: what their entry points name, checked before a study knows of them."""

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from core.analysis.declaration import Analysis
from core.errors import BadInput, first_line
from core.store.steps import ANALYSE, FIXED_STEPS
from core.study.section import Section

GROUP = "saeflow.analyses"
"""The entry points by which a package outside the repository registers its analyses."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_STEPS = {ANALYSE, *(spec.name for spec in FIXED_STEPS)}


class Registered(NamedTuple):
    """An analysis as its package's metadata tells of it."""

    name: str
    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} of {self.package} {self.version}"


def registered() -> tuple[Registered, ...]:
    """The analyses that installed packages register, by name; imports nothing of the packages."""
    return tuple(_registered(point) for point in _points())


def differences(here: Iterable[Registered], there: Iterable[Registered]) -> list[str]:
    """What another machine's packages lack, or have otherwise, of what is registered here; a line an analysis."""
    found = {one.name: one for one in there}
    return [
        f"{one} is {f'{other.package} {other.version}' if (other := found.get(one.name)) else 'not installed'} there"
        for one in here
        if found.get(one.name) != one
    ]


def installed() -> Iterator[Analysis]:
    """The declarations of those analyses, imported.

    Raises:
        BadInput: one cannot be imported, is no declaration, or has a name that no analysis can have.
    """
    for point in _points():
        yield _open(point)


def _points() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))


def _registered(point: EntryPoint) -> Registered:
    package = point.dist
    assert package is not None  # only points that are made by hand have none
    return Registered(point.name, package.name, package.version)


def _open(point: EntryPoint) -> Analysis:
    registered = _registered(point)
    try:
        analysis = point.load()
    except Exception as error:  # whatever the package's code raises
        said = f"{type(error).__name__}: {first_line(error)}"
        fix = f"correct or uninstall {registered.package}"
        raise BadInput(f"analysis {registered}: {point.value} cannot be imported ({said}); {fix}") from error
    if not isinstance(analysis, Analysis):
        kind = type(analysis).__name__
        raise BadInput(f"analysis {registered}: {point.value} is a {kind}; it must be a saeflow.Analysis")
    for wrong in _faults(registered.name, analysis):
        raise BadInput(f"analysis {registered}: {wrong}")
    return analysis.named(registered.name, (registered.package, registered.version))


def _faults(name: str, analysis: Analysis) -> Iterator[str]:
    """What is wrong with a declaration, with the fix."""
    if not _NAME.fullmatch(name):
        yield "an entry point's name must be lower-case letters, digits and _; rename it"
    if name in _STEPS or hasattr(Section, name):
        yield f"{name!r} is a name of saeflow's own; rename the entry point"
    if not (isinstance(analysis.config, type) and issubclass(analysis.config, Section)):
        yield "config must be a subclass of saeflow.Section"
    for field in ("run", "figures"):
        place = getattr(analysis, field)
        if not isinstance(place, str) or not all(place.partition(":")):
            yield f"{field} is {place!r}; write it as 'module:function'"
