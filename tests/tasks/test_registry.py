"""Every step has code, and only a process that runs a step loads it."""

import subprocess
import sys

import pytest

from core.planning.steps import STEPS as SPECS
from flows.runtime.settings import PROJECT
from tasks.code import load_code
from tasks.registry import CODE, STEPS


def test_every_step_has_a_task_and_a_body() -> None:
    assert STEPS.keys() == CODE.keys() == SPECS.keys()
    assert all(callable(load_code(place)) for place in CODE.values())


HEAVY = ("torch", "transformers", "scipy", "altair", "mlflow", "pandas")


@pytest.mark.parametrize("module", ["flows.serve", "cli.flow_call", "tasks.prepare", "flows.slurm.worker"])
def test_what_only_sends_units_or_needs_no_model_loads_neither_torch_nor_mlflow(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert told.stdout.strip() == "[]", told.stderr
