"""How much of a study's time passes while no unit works: starting workers, looking, handing over.

    python benchmarks/outside_tasks.py [--study demo] [--profiles threads slurm-one-node]

Each profile runs the whole study in a fresh workspace of its own; the intervals are those that Prefect recorded of the
task runs. `busy` is the time in which one unit or more worked, `outside` the rest of the flow run. The SLURM is the one
that SLURM_CONF names (`python -m infra.slurm.one_node up`).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from cli.servers import prefect_api
from core.store.workspace import Workspace
from flows.runtime.settings import Settings

Span = tuple[datetime, datetime]
_PAGE = 200  # Prefect's own limit on a request


def union_s(spans: Iterable[Span]) -> float:
    """Seconds covered by one span or more."""
    covered, until = 0.0, None
    for begin, end in sorted(spans):
        fresh = begin if until is None else max(begin, until)
        covered += max(0.0, (end - fresh).total_seconds())
        until = end if until is None else max(until, end)
    return covered


def stages_of(client: Any, run: FlowRun) -> list[FlowRun]:
    """The subflows of a flow run, in the order they began."""
    children = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]))
    return sorted(client.read_flow_runs(flow_run_filter=children), key=lambda stage: stage.start_time)


def worked(client: Any, stage: FlowRun) -> list[Span]:
    """When the units of a stage worked."""
    mine = FlowRunFilter(id={"any_": [stage.id]})
    runs: list[Any] = []
    while len(page := client.read_task_runs(flow_run_filter=mine, limit=_PAGE, offset=len(runs))) > 0:
        runs += page
    return [(run.start_time, run.end_time) for run in runs if run.start_time and run.end_time]


def measure(study: str, profile: str, workspace: Path) -> None:
    """Run the study and print a line per stage."""
    environment = {**os.environ, "SAEFLOW_WORKSPACE": str(workspace)}
    subprocess.run([sys.executable, "-m", "cli", "run", study, "--cluster", profile], env=environment, check=True)
    with (
        prefect_api(Settings(Workspace(workspace), "", "")) as api,
        temporary_settings({PREFECT_API_URL: api}),
        get_client(sync_client=True) as client,
    ):
        (run,) = [found for found in client.read_flow_runs() if found.name.startswith("full-analysis")]
        spans = {stage.name: (stage, worked(client, stage)) for stage in stages_of(client, run)}
    print(f"\n{study} on {profile}\n{'stage':48} {'seconds':>8} {'busy':>8} {'outside':>8}")
    for name, (stage, mine) in spans.items():
        _line(name, stage, mine)
    _line("whole flow run", run, [span for _, mine in spans.values() for span in mine])


def _line(name: str, run: FlowRun, units: Iterable[Span]) -> None:
    assert run.start_time is not None and run.end_time is not None
    whole, busy = (run.end_time - run.start_time).total_seconds(), union_s(units)
    print(f"{name:48} {whole:8.1f} {busy:8.1f} {(whole - busy) / whole:8.1%}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="demo")
    parser.add_argument("--profiles", nargs="+", default=["threads", "slurm-one-node"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for profile in given.profiles:
            measure(given.study, profile, Path(place).resolve() / profile)


if __name__ == "__main__":
    main()
