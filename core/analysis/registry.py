"""Every analysis there is, in the order of the report: saeflow's own folders, and what installed packages register."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from types import MappingProxyType

import core.analysis
from core.analysis.declaration import Analysis
from core.errors import BadInput

GROUP = "saeflow.analyses"
"""The entry points by which a package outside the repository registers its analyses."""


@cache
def declared() -> Mapping[str, Analysis]:
    """Analyses by name.

    Raises:
        BadInput: a package's analysis cannot be imported, is none, or has a name that is taken.
    """
    found: dict[str, Analysis] = {analysis.name: analysis for analysis in _own()}
    for analysis in _installed():
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


def _own() -> Iterator[Analysis]:
    for module in iter_modules(core.analysis.__path__):
        if module.ispkg:
            declaration: Analysis = import_module(f"core.analysis.{module.name}").ANALYSIS
            yield declaration.named(module.name)


def _installed() -> Iterator[Analysis]:
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        yield _open(point)


def _open(point: EntryPoint) -> Analysis:
    package = point.dist
    assert package is not None  # only points that are looked up by hand have none
    came_from = f"{package.name} {package.version}"
    try:
        analysis = point.load()
    except Exception as error:  # whatever the package's code raises
        told = f"{type(error).__name__}: {error}"
        raise BadInput(f"analysis {point.name} of {came_from}: {point.value} cannot be imported ({told})") from error
    if not isinstance(analysis, Analysis):
        raise BadInput(f"analysis {point.name} of {came_from}: {point.value} is no saeflow.Analysis")
    if not point.name.isidentifier():
        raise BadInput(f"analysis {point.name!r} of {came_from}: its name must be a word of letters, digits and _")
    return analysis.named(point.name, (package.name, package.version))
