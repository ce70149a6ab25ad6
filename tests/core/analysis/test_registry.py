"""The registry finds every analysis's declaration, and costs nothing to import."""

import subprocess
import sys
from importlib.util import find_spec

from core.analysis.registry import declared
from core.planning.steps import ANALYSES
from core.planning.study import Analyses

REPORT = ["overview", "interpretation", "ablation", "amplification", "visual_patterns", "evolution", "qualitative"]


def test_every_declaration_is_a_section_of_the_study_and_a_step():
    assert list(declared()) == list(Analyses.model_fields) == list(ANALYSES)
    for name, analysis in declared().items():
        assert getattr(Analyses(), name) == (analysis.config() if analysis.by_default else None)
        assert (ANALYSES[name].version, ANALYSES[name].needs == "gpu") == (analysis.version, "gpu" in analysis.needs)


def test_the_report_reads_from_what_is_there_to_what_it_does():
    chapters = sorted(declared(), key=lambda name: declared()[name].chapter)
    assert [name for name in chapters if name in REPORT] == REPORT


def test_every_module_is_there_with_its_function():
    for analysis in declared().values():
        assert all(find_spec(module) is not None for module in analysis.modules), analysis.name
        assert analysis.question.endswith("?") and not analysis.title.endswith(".")
    assert callable(declared()["evolution"].load_run())
    assert callable(declared()["evolution"].load_figures())


def test_importing_the_registry_imports_nothing_heavy():
    heavy = ("torch", "polars", "sklearn", "altair")
    code = (
        "import sys, core.analysis.registry as r; r.declared();"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
