"""The study's report."""

from collections.abc import Mapping

from core.report import collect
from core.report import write_report as write
from tasks.context import Work


def write_report(work: Work) -> Mapping[str, float]:
    """Write report.html and report.md from what the study's units left."""
    recipe = work.recipe
    inputs = collect(work.context.store, recipe["study"], work.unit.inputs, recipe["skipped"], recipe["sweep"])
    write(inputs, work.out)
    return {}
