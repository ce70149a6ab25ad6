"""A real SLURM for the tests, and a bench of toy units that run as its jobs."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.servers import free_port
from core.store.steps import StepSpec
from core.store.units import Unit
from flows.runtime.profiles import SlurmProfile
from flows.runtime.settings import PROJECT
from flows.slurm import commands
from flows.stages import run_stage
from infra.slurm import one_node
from tasks.context import RunContext, Work
from tasks.step import STOPPING, step

# `.ci/run` sets it: there a missing SLURM is a failure, not a skip.
_REQUIRED = os.environ.get("SAEFLOW_REQUIRE_SLURM") == "1"
Body = Callable[[Work], None]


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """The folder of a running SLURM with three nodes, its SLURM_CONF in the environment."""
    missing = [name for name in one_node.COMMANDS if one_node.which(name) is None]
    if missing and os.getuid() != 0 and not _REQUIRED:
        pytest.skip(
            f"SLURM is not installed ({', '.join(missing)}): sudo apt-get install {' '.join(one_node.PACKAGES)}"
        )
    # Not pytest's own folder: munge's socket must be within reach of its own user.
    folder = Path(tempfile.mkdtemp(prefix="saeflow-slurm-"))
    folder.chmod(0o755)
    before = os.environ.get("SLURM_CONF")
    try:
        one_node.up(folder, one_node.Shape(nodes=3, port=free_port()))
        os.environ["SLURM_CONF"] = str(folder / "etc" / "slurm.conf")
        yield folder
    finally:
        one_node.down(folder)
        os.environ.pop("SLURM_CONF", None)
        if before is not None:
            os.environ["SLURM_CONF"] = before
        shutil.rmtree(folder, ignore_errors=True)


def profile(**changes: Any) -> SlurmProfile:
    """A profile of the test's SLURM: two GPU workers and a CPU worker; `gpu` and `cpu` change a pool's fields."""
    pools = {
        "cpu": {"partition": "cpu", "workers": 1, "memory": "2GB", "walltime": "00:10:00"},
        "gpu": {"partition": "gpu", "gres": "gpu:1", "workers": 2, "memory": "2GB", "walltime": "00:10:00"},
    }
    for name in pools:
        pools[name] |= changes.pop(name, {})
    fixed = {"kind": "slurm", "host": "127.0.0.1", "give_up_after_s": 20, "setup": [f"export PYTHONPATH={PROJECT}"]}
    return SlurmProfile.model_validate({**fixed, **pools, **changes})


def units(count: int, step_name: str = "train_sae") -> list[Unit]:
    return [Unit(step_name, 1, str(number), {"layer": number}) for number in range(count)]


class Bench:
    """Toy units of a real step over a real workspace."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        place = {"workspace": str(workspace), "data_base": "", "model_folder": ""}
        self.context = RunContext(**place, study="toy", device="cpu")  # `auto` would load torch to look for a GPU
        self.store = self.context.store
        STOPPING.clear()

    def run(self, body: Body, count: int = 2, on: SlurmProfile | None = None, needs: str = "gpu") -> None:
        """Make `count` units; each is `body` and then a file of its own name."""
        name = "train_sae" if needs == "gpu" else "extract_layer"
        spec = StepSpec(name, 1, needs, ())  # type: ignore[arg-type]

        def toy(work: Work) -> Mapping[str, float]:
            body(work)
            (work.out / "made.txt").write_text(work.unit.name)
            return {"loss": 0.0}

        run_stage(name, units(count, name), {name: step(spec)(toy)}, self.context, on or profile())

    def whole(self, count: int = 2, name: str = "train_sae") -> bool:
        """Whether all units are there and equal to their manifests."""
        return all(self.store.verify(unit.artifact) == [] for unit in units(count, name))

    def marks(self) -> list[str]:
        """What bodies wrote down, a line a mark."""
        path = self.workspace / "marks.txt"
        return path.read_text().splitlines() if path.exists() else []


def wait_until(true: Callable[[], bool], limit_s: float = 90.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


@pytest.fixture
def bench(tmp_path: Path, slurm: Path, prefect_server: str) -> Iterator[Bench]:
    """A bench on the test's SLURM; no job of it outlives the test."""
    yield Bench(tmp_path.resolve())
    wait_until(lambda: commands.my_jobs() == [], 90)  # a node that came back takes a while to close its jobs
