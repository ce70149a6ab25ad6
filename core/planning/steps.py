"""The steps there are: the fixed ones, and one per analysis."""

from typing import Literal

from core.analysis.declaration import Analysis
from core.analysis.registry import declared
from core.store.steps import ANALYSE, CATALOGUE_STEPS, FIXED_STEPS, REPORT, SCAN_STEPS, StepSpec


def analysis_step(analysis: Analysis) -> StepSpec:
    """The step that makes an analysis."""
    needs: Literal["cpu", "gpu"] = "gpu" if "gpu" in analysis.needs else "cpu"
    return StepSpec(analysis.name, analysis.version, needs, analysis.modules, stage=ANALYSE)


ANALYSES = {name: analysis_step(analysis) for name, analysis in declared().items()}
"""The analyses' steps by name, in the order of a study."""
STEPS: dict[str, StepSpec] = {
    **{spec.name: spec for spec in FIXED_STEPS if spec is not REPORT},
    **ANALYSES,
    REPORT.name: REPORT,
    **{spec.name: spec for spec in (*SCAN_STEPS, *CATALOGUE_STEPS)},
}
"""Every step by name, in the order in which they run."""
