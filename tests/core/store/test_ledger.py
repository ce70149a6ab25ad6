from dataclasses import replace
from pathlib import Path

import pytest

from core.store.ledger import JobCost, UnitCost, enter, hours_by_stage, ledger_path, read, unit_ledger_path
from core.store.units import Unit

JOB = JobCost("run", "train_sae", "7", "n1", cpus=4, gpus=2, seconds=1800.0, state="COMPLETED")


def test_hours_are_added_up_by_stage(tmp_path: Path) -> None:
    path = ledger_path(tmp_path, "demo")
    enter(path, [replace(JOB, stage="capture"), JOB])
    enter(path, [replace(JOB, job="8", state="CANCELLED")])
    enter(path, [])
    assert list(hours_by_stage(read(path, JobCost)).items()) == [
        ("capture", (1, pytest.approx(2.0), pytest.approx(1.0))),
        ("train_sae", (2, pytest.approx(4.0), pytest.approx(2.0))),
    ]


def test_a_line_that_a_killed_process_left_half_is_passed_over(tmp_path: Path) -> None:
    path = ledger_path(tmp_path, "demo")
    enter(path, [JOB])
    with path.open("a") as file:
        file.write('{"flow_run": "run", "sta')
    assert list(read(path, JobCost)) == [JOB]
    assert list(read(tmp_path / "nothing.jsonl", JobCost)) == []


def test_a_unit_s_use_of_its_gpu_stands_beside_what_was_asked_for(tmp_path: Path) -> None:
    path, unit = unit_ledger_path(tmp_path, "demo"), Unit("overview", 1, "", {})
    made = {"host": "n1", "wall_seconds": 1800.0, "gpu_seconds": 3600.0}
    used = {"name": "H100", "memory_peak_mib": 1500.0, "utilisation_mean": None}
    costs = [UnitCost.of(unit, "run", {**made, "gpu": gpu}) for gpu in (used, None)]
    enter(path, costs)
    assert list(read(path, UnitCost)) == costs
    assert (costs[0].stage, costs[0].unit, costs[0].gpu_hours) == ("analyse", "overview", 1.0)
    assert (costs[0].gpu, costs[0].gpu_memory_peak_mib, costs[0].gpu_utilisation_mean) == ("H100", 1500.0, None)
    assert (costs[1].gpu, costs[1].gpu_memory_peak_mib) == (None, None)
    assert list(read(path, JobCost)) == [], "no unit is taken for a job"
