"""Damaged inputs: no unit reads them, and a run recomputes them."""

import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from core.planning.steps import STEPS
from core.progress import Stopped, silent
from core.store.artifacts import DamagedArtifact
from core.store.checked import CHECKED
from core.store.units import Unit
from flows.runtime.profiles import ThreadsProfile
from flows.stages import StageFailed, run_stage
from tasks.context import RunContext, Work
from tasks.inputs import checked_inputs
from tasks.step import STOPPING, step
from tests.core.store.test_checked import flip

pytestmark = pytest.mark.usefixtures("prefect_server")
PROFILE = ThreadsProfile(kind="threads")
SAE = Unit("train_sae", 1, "0", {"layer": 0})
INDEX = Unit("index_features", 1, "0", {"layer": 0}, {"sae": (SAE.artifact,)})


class Bench:
    """Two toy steps, of which the second doubles what the first wrote; `read` is what it was given."""

    def __init__(self, workspace: Path) -> None:
        self.context = RunContext(workspace=str(workspace), study="toy", data_base="", model_folder="")
        self.store = self.context.store
        self.weights = self.store.path(SAE.artifact) / "weights.bin"
        self.ran: list[str] = []
        self.read: list[bytes] = []
        self.harm: Callable[[], None] | None = None
        STOPPING.clear()

    def _train(self, work: Work) -> Mapping[str, float]:
        self.ran.append(work.unit.label)
        (work.out / "weights.bin").write_bytes(b"right" * 1000)
        return {}

    def _index(self, work: Work) -> Mapping[str, float]:
        self.ran.append(work.unit.label)
        if self.harm is not None:
            self.harm()
        self.read.append((work.input("sae") / "weights.bin").read_bytes())
        (work.out / "index.bin").write_bytes(self.read[-1] * 2)
        return {}

    def make(self, *units: Unit) -> list[str]:
        """Run these units' stages in order; the labels of those whose body ran."""
        self.ran.clear()
        bodies = {"train_sae": self._train, "index_features": self._index}
        for unit in units:
            steps = {unit.step: step(STEPS[unit.step])(bodies[unit.step])}
            run_stage(unit.step, [unit], steps, self.context, PROFILE)
        return list(self.ran)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])


def _set_aside(path: Path) -> None:
    """As `verify --mend` does, or another run that doubts it."""
    path.parent.rename(path.parent.with_name(".aside0"))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """An attempt at the index, whose input is there."""
    context = RunContext(workspace=str(tmp_path), study="toy", data_base="", model_folder="")
    staged = context.store.staging(SAE.artifact)
    (staged / "weights.bin").write_bytes(bytes(100))
    context.store.publish(staged, SAE.artifact, {})
    return Work(INDEX, context, tmp_path / "out", tmp_path / "checkpoint", silent, logging.getLogger("toy"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_damaged_input_is_recomputed_before_it_is_read(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.make(SAE)
    flip(bench.weights)
    assert bench.make(SAE, INDEX) == ["train_sae[0]", "index_features[0]"]
    assert bench.read == [b"right" * 1000]
    assert f"train_sae[0] is damaged; a run recomputes it: {SAE.artifact.ref}/weights.bin" in caplog.text
    assert len(list(bench.store.root.glob("train_sae/.*.aside0/weights.bin"))) == 1


def test_what_may_have_been_made_from_the_wrong_content_is_recomputed(bench: Bench) -> None:
    bench.make(SAE, INDEX)
    flip(bench.weights, keep_time=True)
    assert bench.store.verify(SAE.artifact) != []
    assert bench.make(SAE, INDEX) == ["train_sae[0]", "index_features[0]"]
    assert bench.store.verify(INDEX.artifact) == []


def test_an_input_damaged_during_the_run_fails_the_unit_that_would_read_it(bench: Bench) -> None:
    bench.make(SAE)
    flip(bench.weights)
    with pytest.raises(
        StageFailed, match=r"an input changed during the run: train_sae/\w+/weights.bin: content changed; run"
    ):
        bench.make(INDEX)
    assert bench.read == []


def test_nothing_is_published_that_read_an_input_while_it_was_damaged(bench: Bench) -> None:
    bench.make(SAE)
    bench.harm = partial(flip, bench.weights)
    with pytest.raises(StageFailed, match="an input changed during the run"):
        bench.make(INDEX)
    assert len(bench.read) == 1 and not bench.store.intact(INDEX.artifact)


@pytest.mark.parametrize("raised", [None, ValueError("header too short")])
@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_cut_short, "/weights.bin: 10 bytes, manifest says 100;"),
        (Path.unlink, "/weights.bin: missing;"),
        (_set_aside, ": set aside or removed;"),
    ],
)
def test_a_change_during_the_body_is_the_reason_whatever_the_body_raises(
    harm: Callable[[Path], None], told: str, raised: Exception | None, work: Work
) -> None:
    with (
        pytest.raises(DamagedArtifact, match=re.escape(f"during the run: {SAE.artifact.ref}{told} run again")),
        checked_inputs(work),
    ):
        harm(work.input("sae") / "weights.bin")
        if raised is not None:
            raise raised


def test_a_stop_stays_a_stop(work: Work) -> None:
    with pytest.raises(Stopped), checked_inputs(work):
        (work.input("sae") / "weights.bin").unlink()
        raise Stopped


def test_an_input_that_nobody_has_looked_at_is_read_once(bench: Bench) -> None:
    bench.make(SAE)
    (bench.weights.parent / CHECKED).unlink()  # as an earlier version left it
    assert bench.make(INDEX) == ["index_features[0]"]
    assert (bench.weights.parent / CHECKED).is_file()
