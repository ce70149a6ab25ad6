"""The study's report."""

from collections.abc import Mapping

from core.report import collect
from core.report import write_report as write
from core.store.steps import REPORT
from tasks.context import Work
from tasks.step import step


@step(REPORT)
def write_report(work: Work) -> Mapping[str, float]:
    """Write report.html and report.md from what the study's units left."""
    recipe = work.recipe
    inputs = collect(work.context.store, recipe["study"], work.unit.inputs, recipe["skipped"], recipe["sweep"])
    write(inputs, work.out)
    return {}
