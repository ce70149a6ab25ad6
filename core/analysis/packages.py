"""Analyses of installed packages: what their entry points name, checked before a study knows of them."""

from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint

from core.analysis.declaration import Analysis
from core.entry_points import NAME_FAULT, Registered, is_name, load, points
from core.errors import BadInput
from core.store.steps import ANALYSE, FIXED_STEPS, SCAN_STEPS
from core.study.section import Section

GROUP = "saeflow.analyses"
"""The entry points by which a package outside the repository registers its analyses."""
_STEPS = {ANALYSE, *(spec.name for spec in (*FIXED_STEPS, *SCAN_STEPS))}


def registered() -> tuple[Registered, ...]:
    """The analyses that installed packages register, by name; imports nothing of the packages."""
    return tuple(Registered.of(point) for point in points(GROUP))


def differences(here: Iterable[Registered], there: Iterable[Registered]) -> list[str]:
    """What another machine's packages lack, or have otherwise, of what is registered here; a line per analysis."""
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
    for point in points(GROUP):
        yield _open(point)


def _open(point: EntryPoint) -> Analysis:
    analysis, registered = load(point, "analysis"), Registered.of(point)
    if not isinstance(analysis, Analysis):
        kind = type(analysis).__name__
        raise BadInput(f"analysis {registered}: {point.value} is a {kind}; it must be a saeflow.Analysis")
    for wrong in _faults(registered.name, analysis):
        raise BadInput(f"analysis {registered}: {wrong}")
    return analysis.named(registered.name, (registered.package, registered.version))


def _faults(name: str, analysis: Analysis) -> Iterator[str]:
    """What is wrong with a declaration, with the fix."""
    if not is_name(name):
        yield NAME_FAULT
    if name in _STEPS or hasattr(Section, name):
        yield f"{name!r} is a name of saeflow's own; rename the entry point"
    if not (isinstance(analysis.config, type) and issubclass(analysis.config, Section)):
        yield "config must be a subclass of saeflow.Section"
    for field in ("run", "figures"):
        place = getattr(analysis, field)
        if not isinstance(place, str) or not all(place.partition(":")):
            yield f"{field} is {place!r}; write it as 'module:function'"
