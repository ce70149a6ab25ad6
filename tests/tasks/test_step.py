import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest
from prefect import Task

from core.store.artifacts import RECORD
from core.store.ledger import UnitCost, read, unit_ledger_path
from core.store.steps import StepSpec
from core.store.units import Unit
from flows.pipeline_log import pipeline_log
from flows.runtime.profiles import ThreadsProfile
from flows.stages import StageFailed, run_stage
from tasks.context import RunContext, Work
from tasks.step import STOPPING, step

pytestmark = pytest.mark.usefixtures("own_prefect_server")
PROFILE = ThreadsProfile(kind="threads")


def units(count: int) -> list[Unit]:
    return [Unit("train_sae", 1, str(layer), {"layer": layer}) for layer in range(count)]


class Bench:
    """A toy step over a real workspace, with a count of how often its body ran."""

    def __init__(self, workspace: Path) -> None:
        self.context = RunContext(workspace=str(workspace), study="toy", data_base="", model_folder="")
        self.store = self.context.store
        self.ran: list[str] = []
        self.faults: dict[str, Callable[[], None]] = {}
        STOPPING.clear()

    def task(self) -> Task[..., dict]:
        def body(work: Work) -> Mapping[str, float]:
            self.ran.append(work.unit.name)
            if work.unit.name in self.faults:
                self.faults[work.unit.name]()
            (work.out / "weights.bin").write_bytes(work.unit.name.encode() * 1000)
            return {"loss": float(work.unit.name)}

        return step(StepSpec("train_sae", 1, "gpu", ()))(body)

    def run(self, count: int = 4) -> list[str]:
        self.ran.clear()
        run_stage("train_sae", units(count), {"train_sae": self.task()}, self.context, PROFILE)
        return sorted(self.ran)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_unit_takes_no_slot_of_the_server(bench: Bench) -> None:
    # A tag takes one, whether it has a limit or not; a busy server refuses at times, which would end the run.
    assert bench.task().tags == set()


def test_a_second_run_makes_nothing_and_shows_cached(bench: Bench) -> None:
    assert bench.run() == ["0", "1", "2", "3"]
    assert bench.run() == []


def test_a_damaged_or_deleted_artifact_alone_is_made_again(bench: Bench) -> None:
    bench.run()
    os.truncate(bench.store.path(units(4)[1].artifact) / "weights.bin", 3)
    (bench.store.path(units(4)[3].artifact) / "weights.bin").unlink()
    assert bench.run() == ["1", "3"]
    assert all(bench.store.verify(unit.artifact) == [] for unit in units(4))


def test_a_whole_artifact_without_a_record_is_adopted(bench: Bench) -> None:
    bench.run()
    for unit in units(4):
        (bench.store.path(unit.artifact) / RECORD).unlink()
    assert bench.run() == []


def test_a_failed_unit_loses_no_sibling_and_is_named(bench: Bench) -> None:
    def wrong() -> None:
        raise ValueError("k is too large")

    bench.faults["2"] = wrong
    with pytest.raises(StageFailed) as raised:
        bench.run()
    assert "train_sae: 1 of 4 units failed; 3 are done and stay" in str(raised.value)
    assert "train_sae[2]: " in str(raised.value) and "k is too large" in str(raised.value)
    assert bench.ran.count("2") == 1, "a wrong config is never tried again"
    bench.faults.clear()
    assert bench.run() == ["2"]


def test_out_of_memory_is_tried_again(bench: Bench) -> None:
    def once() -> None:
        if bench.ran.count("1") == 1:
            raise MemoryError

    bench.faults["1"] = once
    assert bench.run() == ["0", "1", "1", "2", "3"]


def test_a_full_disk_is_told_and_leaves_nothing_that_looks_finished(bench: Bench) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "weights.bin")

    bench.faults["0"] = full
    with pytest.raises(StageFailed, match="No space left on device"):
        bench.run()
    assert not bench.store.intact(units(1)[0].artifact)
    assert not [path for path in (bench.store.root / "train_sae").iterdir() if path.name.endswith(("lease",))]
    bench.faults.clear()
    assert bench.run() == ["0"]


def test_the_manifest_tells_recipe_cost_and_origin(bench: Bench) -> None:
    bench.run(1)
    manifest = bench.store.manifest(units(1)[0].artifact)
    assert manifest["unit"]["recipe"] == {"layer": 0}
    assert manifest["metrics"] == {"loss": 0.0}
    assert manifest["provenance"]["wall_seconds"] >= 0
    assert "torch" in manifest["provenance"]["packages"]


def test_a_unit_without_a_gpu_says_so_and_is_entered_once(bench: Bench) -> None:
    bench.run(2)
    bench.run(2)
    made = bench.store.manifest(units(1)[0].artifact)["provenance"]
    assert made["gpu"] is None and made["device"] == "cpu"
    costs = list(read(unit_ledger_path(Path(bench.context.workspace), "toy"), UnitCost))
    assert sorted(cost.unit for cost in costs) == ["train_sae[0]", "train_sae[1]"]


def test_the_pipeline_log_has_stages_units_with_their_durations_and_reasons(bench: Bench) -> None:
    def wrong() -> None:
        raise ValueError("k is too large")

    bench.faults["1"] = wrong
    with pipeline_log(Path(bench.context.workspace), "toy") as log, pytest.raises(StageFailed):
        bench.run(2)
    text = log.read_text("utf-8")
    assert "INFO    stage train_sae begins: 2 units, 2 to make" in text
    assert re.search(r"INFO    train_sae\[0\] is done after \d+\.\d s", text)
    reason = f"ERROR   train_sae[1] failed: ValueError: k is too large (log: {bench.context.log_file(units(2)[1])})"
    assert reason in text.replace("exception: ", "")
    bench.faults.clear()
    with pipeline_log(Path(bench.context.workspace), "toy"):
        bench.run(2)
    assert "stage train_sae begins: 2 units, 1 to make" in log.read_text("utf-8")
    assert "INFO    stage train_sae is done after" in log.read_text("utf-8")


def test_a_stage_s_run_names_the_units_that_were_missing(bench: Bench, own_prefect_server: str) -> None:
    bench.run()
    (bench.store.path(units(4)[2].artifact) / "weights.bin").unlink()
    bench.run()
    asked = {"sort": "START_TIME_DESC", "limit": 1, "flows": {"name": {"any_": ["train_sae"]}}}
    (latest,) = httpx.post(f"{own_prefect_server}/flow_runs/filter", json=asked).raise_for_status().json()
    assert latest["parameters"]["to_make"] == [units(4)[2].label]
