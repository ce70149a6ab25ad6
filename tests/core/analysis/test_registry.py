"""The registry names every analysis of a study once, and costs nothing to import."""

import subprocess
import sys
from importlib.util import find_spec

from core.analysis.registry import ANALYSES
from core.study.analyses import Analyses


def test_every_section_of_the_study_has_an_entry_in_the_reports_order():
    order = ["overview", "interpretation", "ablation", "visual_patterns", "amplification", "evolution", "qualitative"]
    assert list(ANALYSES) == order
    assert {entry.config for entry in ANALYSES.values()} == set(Analyses.model_fields)


def test_every_module_is_there_with_its_verb():
    for entry in ANALYSES.values():
        assert find_spec(entry.module) is not None, entry.module
        assert find_spec(entry.figures) is not None, entry.figures
        assert entry.question.endswith("?")
    assert callable(ANALYSES["evolution"].load().run)
    assert callable(ANALYSES["evolution"].load_figures().figures)


def test_importing_the_registry_imports_nothing_heavy():
    heavy = ("torch", "polars", "sklearn", "altair")
    code = f"import sys, core.analysis.registry; print([name for name in {heavy} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
