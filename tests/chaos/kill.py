"""Kill a study's whole process group at random moments, resume it, and compare with an undisturbed run.

python -m tests.chaos.kill mini --kills 5
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from core.report.write import without_provenance
from tasks.tracking_database import sqlite_url

PROJECT = Path(__file__).resolve().parents[2]


def start(study: Sequence[str], workspace: Path, log: Path) -> "subprocess.Popen[bytes]":
    """Start `saeflow run STUDY …` in a process group of its own."""
    environment = {**os.environ, "SAEFLOW_WORKSPACE": str(workspace)}
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "cli", "run", *study],
            cwd=PROJECT,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def run_to_end(study: Sequence[str], workspace: Path, log: Path, limit_s: float = 900) -> None:
    """Run the study undisturbed.

    Raises:
        AssertionError: it failed; the message holds the log's end.
    """
    child = start(study, workspace, log)
    code = child.wait(limit_s)
    assert code == 0, log.read_text("utf-8", "replace")[-3000:]


def kill_after(study: Sequence[str], workspace: Path, log: Path, seconds: float) -> bool:
    """Run the study and kill its whole group with SIGKILL after `seconds`; whether it was still running."""
    child = start(study, workspace, log)
    try:
        child.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        kill_family(child.pid)
        child.wait()
        return True


def kill_family(pid: int) -> None:
    import psutil

    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in family:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def contents(workspace: Path) -> dict[str, object]:
    """Every artefact's files with sizes and hashes, as its manifest has them; the report without its provenance."""
    found: dict[str, object] = {}
    for manifest in sorted((workspace / "artifacts").glob("*/[!.]*/manifest.json")):
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        folder = manifest.parent
        for name in ("report.html", "report.md"):
            if name in files:
                files[name] = without_provenance((folder / name).read_text(encoding="utf-8"))
        found[f"{folder.parent.name}/{folder.name}"] = files
    return found


def differences(one: Path, other: Path, left_out: Collection[str] = ()) -> list[str]:
    """Artefacts that two workspaces do not share to the byte, but for those of the steps in `left_out`."""
    first, second = contents(one), contents(other)
    unequal = [ref for ref in sorted(first.keys() | second.keys()) if first.get(ref) != second.get(ref)]
    return [ref for ref in unequal if ref.partition("/")[0] not in left_out]


def left_open(workspace: Path, experiment: str) -> list[str]:
    """What MLflow and Prefect still show as going on once no run does: runs by name, and checkpoints that were left."""
    from mlflow import MlflowClient

    client = MlflowClient(sqlite_url("sqlite", workspace / "mlflow.db"))
    known = client.get_experiment_by_name(experiment)
    runs = client.search_runs([known.experiment_id], max_results=500)
    found = [str(run.info.run_name) for run in runs if run.info.status not in ("FINISHED", "KILLED")]
    with sqlite3.connect(workspace / "prefect" / "prefect.db") as database:
        for table in ("flow_run", "task_run"):
            asked = f"select name from {table} where state_type not in ('COMPLETED', 'CRASHED', 'FAILED', 'CANCELLED')"
            found += [str(name) for (name,) in database.execute(asked)]
    return found + [path.name for path in (workspace / "artifacts").glob("*/.*") if path.name.endswith(".checkpoint")]


def torment(study: Sequence[str], harsh: Path, moments: list[float]) -> None:
    """Run the study in the workspace `harsh`, killed after each of `moments` (seconds), then to its end."""
    log = harsh.with_name("harsh.log")
    for moment in moments:
        killed = kill_after(study, harsh, log, moment)
        print(f"kill -9 after {moment:.1f} s{'' if killed else ' (had ended)'}", flush=True)
    run_to_end(study, harsh, log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs=1)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder for both workspaces")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    run_to_end(arguments.study, folder / "calm", folder / "calm.log")
    whole = time.monotonic() - began
    print(f"undisturbed: {whole:.1f} s", flush=True)
    rng = random.Random(arguments.seed)
    # Work that is there is not done again: shares of the whole that stay below it hit every stage.
    torment(arguments.study, folder / "harsh", [whole * rng.uniform(0.2, 0.6) for _ in range(arguments.kills)])
    found = differences(folder / "calm", folder / "harsh")
    print("\n".join(found) or f"all {len(contents(folder / 'calm'))} artefacts are equal to the byte")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
