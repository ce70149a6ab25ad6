from dataclasses import replace
from pathlib import Path

import pytest

from core.ledger import JobCost, enter, hours_by_stage, ledger_path, read

JOB = JobCost("run", "train_sae", "7", "n1", cpus=4, gpus=2, seconds=1800.0, state="COMPLETED")


def test_hours_are_added_up_by_stage(tmp_path: Path) -> None:
    path = ledger_path(tmp_path, "demo")
    enter(path, [replace(JOB, stage="capture"), JOB])
    enter(path, [replace(JOB, job="8", state="CANCELLED")])
    enter(path, [])
    assert list(hours_by_stage(read(path)).items()) == [
        ("capture", (1, pytest.approx(2.0), pytest.approx(1.0))),
        ("train_sae", (2, pytest.approx(4.0), pytest.approx(2.0))),
    ]


def test_a_line_that_a_killed_process_left_half_is_passed_over(tmp_path: Path) -> None:
    path = ledger_path(tmp_path, "demo")
    enter(path, [JOB])
    with path.open("a") as file:
        file.write('{"flow_run": "run", "sta')
    assert list(read(path)) == [JOB]
    assert list(read(tmp_path / "nothing.jsonl")) == []
