"""Damaged inputs: no unit reads them, and a run recomputes them."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from core.checked import CHECKED
from core.steps import STEPS
from core.units import Unit
from flows.profiles import ThreadsProfile
from flows.stages import StageFailed, run_stage
from tasks.context import RunContext, Work
from tasks.step import STOPPING, step
from tests.core.test_checked import flip

pytestmark = pytest.mark.usefixtures("prefect_server")
PROFILE = ThreadsProfile(kind="threads")
SAE = Unit("train_sae", "0", {"layer": 0})
INDEX = Unit("index_features", "0", {"layer": 0}, {"sae": (SAE.artifact,)})


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
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_damaged_input_is_recomputed_before_it_is_read(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.make(SAE)
    flip(bench.weights)
    assert bench.make(SAE, INDEX) == ["train_sae[0]", "index_features[0]"]
    assert bench.read == [b"right" * 1000]
    assert f"train_sae[0] is damaged; a run recomputes it: {SAE.artifact.ref}/weights.bin" in caplog.text
    assert len(list(bench.store.root.glob("train_sae/.*.aside0/weights.bin"))) == 1
    flip(bench.weights)
    assert bench.make(SAE, INDEX) == ["train_sae[0]"], "what was made from the right content stays"


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


@pytest.mark.parametrize("harm", [flip, _cut_short, Path.unlink, _set_aside])
def test_nothing_is_published_that_read_an_input_while_it_changed(harm: Callable[[Path], None], bench: Bench) -> None:
    bench.make(SAE)
    bench.harm = partial(harm, bench.weights)
    with pytest.raises(StageFailed, match=rf"an input changed during the run: {SAE.artifact.ref}"):
        bench.make(INDEX)
    assert not bench.store.intact(INDEX.artifact)


def test_an_input_that_nobody_has_looked_at_is_read_once(bench: Bench) -> None:
    bench.make(SAE)
    (bench.weights.parent / CHECKED).unlink()  # as an earlier version left it
    assert bench.make(INDEX) == ["index_features[0]"]
    assert (bench.weights.parent / CHECKED).is_file()
