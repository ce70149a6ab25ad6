"""What a stage costs that does nothing: 34 units on threads, on worker processes, and on SLURM jobs, side by side.

    python benchmarks/stage_overhead.py [--profiles threads local slurm-one-node] [--units 34] [--rounds 3]

The SLURM is the one that SLURM_CONF names (`python -m infra.slurm.one_node up`). Medians over rounds, the profiles
alternated; `first unit` is the time until the first unit has begun, which on SLURM is the queue and a worker's start.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from cli.servers import prefect_api
from core.store.steps import TRAIN_SAE, StepSpec
from core.store.workspace import Workspace
from flows.runtime.profiles import load_profile
from flows.runtime.settings import Settings, open_profile_path
from tasks.context import RunContext, Work


def measure(name: str, units: int, folder: Path) -> tuple[float, float]:
    """Seconds of the whole stage, and until its first unit began."""
    from flows.stages import run_stage
    from tasks.step import step

    def nothing(work: Work) -> Mapping[str, float]:
        (work.out / "began.txt").write_text(str(time.time()))
        return {}

    context = RunContext(workspace=str(folder), study="overhead", data_base="", model_folder="")
    made = [TRAIN_SAE.unit(str(number), {"number": number}) for number in range(units)]
    steps = {TRAIN_SAE.name: step(StepSpec(TRAIN_SAE.name, 1, "gpu", ()))(nothing)}
    began, clock = time.time(), time.monotonic()
    run_stage(TRAIN_SAE.name, made, steps, context, load_profile(open_profile_path(name)))
    whole = time.monotonic() - clock
    marks = [float((context.store.path(unit.artifact) / "began.txt").read_text()) for unit in made]
    return whole, min(marks) - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", nargs="+", default=["threads", "local", "slurm-one-node"])
    parser.add_argument("--units", type=int, default=34)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in given.profiles}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve()
        with prefect_api(Settings(Workspace(root), "", "")):
            for number in range(given.rounds):
                for name in given.profiles:
                    found[name].append(measure(name, given.units, root / f"{name}-{number}"))
    base = statistics.median(whole for whole, _ in found[given.profiles[0]])
    print(f"{'profile':16} {'stage s':>8} {'first unit s':>13} {'ms per unit':>10} {'ratio':>6}")
    for name, rounds in found.items():
        whole, first = (statistics.median(part) for part in zip(*rounds, strict=True))
        each = 1000 * (whole - first) / given.units
        print(f"{name:16} {whole:8.1f} {first:13.1f} {each:10.0f} {whole / base:6.1f}")


if __name__ == "__main__":
    main()
