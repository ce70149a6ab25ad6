"""Every analysis there is, in the order of a study: saeflow's own folders, and what installed packages register."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

import core.analysis
from core.analysis.declaration import Analysis
from core.analysis.packages import installed
from core.errors import BadInput


@cache
def declared() -> Mapping[str, Analysis]:
    """Analyses by name.

    Raises:
        BadInput: a package's analysis cannot be imported, is none, or has a name that is taken.
    """
    found: dict[str, Analysis] = {analysis.name: analysis for analysis in _own()}
    for analysis in installed():
        assert analysis.distribution is not None
        if analysis.name in found:
            other = found[analysis.name].distribution
            raise BadInput(
                f"analysis {analysis.name}: {analysis.distribution[0]} registers a name that "
                f"{other[0] if other else 'saeflow'} has; uninstall one of them, or rename its entry point"
            )
        found[analysis.name] = analysis
    ordered = sorted(found.values(), key=lambda analysis: (analysis.place, analysis.name))
    return MappingProxyType({analysis.name: analysis for analysis in ordered})


def planned(name: str, distribution: Sequence[str] | None) -> Analysis:
    """The analysis that a unit was planned with, where the unit is made.

    Raises:
        BadInput: this Python lacks the package that the unit was planned with, or has another version of it.
    """
    analysis = declared().get(name)
    if analysis is not None and list(analysis.distribution or ()) == list(distribution or ()):
        return analysis
    wanted = " ".join(distribution or ("saeflow", "of the same revision"))
    there = "lacks it" if analysis is None else f"has {' '.join(analysis.distribution or ('saeflow itself',))}"
    fix = f"install {wanted} there, in the environment that the workers use"
    raise BadInput(f"analysis {name}: planned with {wanted}, and {sys.prefix} {there}; {fix}")


def foreign() -> frozenset[str]:
    """The names of analyses that come from packages."""
    return frozenset(name for name, analysis in declared().items() if analysis.distribution is not None)


def _own() -> Iterator[Analysis]:
    for module in iter_modules(core.analysis.__path__):
        if module.ispkg:
            declaration: Analysis = import_module(f"core.analysis.{module.name}").ANALYSIS
            yield declaration.named(module.name)
