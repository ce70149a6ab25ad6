"""What goes wrong on a cluster, done to a real SLURM: nothing is lost, nothing hangs, and the words are SLURM's."""

import contextvars
import os
import threading
from collections.abc import Callable
from contextlib import suppress

import httpx
import psutil
import pytest

from core.errors import BadInput
from flows.slurm import commands
from flows.stages import StageFailed
from tests.slurm import toys
from tests.slurm.conftest import Bench, profile, wait_until

pytestmark = pytest.mark.timeout(600)


def meanwhile(action: Callable[[], None]) -> threading.Thread:
    # Prefect's settings stand in the context, which a new thread would not have.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(action,), daemon=True)
    thread.start()
    return thread


def begun(bench: Bench, unit: str) -> Callable[[], bool]:
    return lambda: any(line.startswith(f"{unit} ") and line.endswith("begins") for line in bench.marks())


def job_of(bench: Bench, unit: str) -> str:
    return next(line.split()[2] for line in bench.marks() if line.startswith(f"{unit} "))


def kill_worker(job: str) -> None:
    """Kill a job's worker; another SLURM of this machine may have a job of the same number."""
    mine, killed = os.environ["SLURM_CONF"], 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            is_it = "flows.slurm.worker" in words and f"--name {job} " in words
            if is_it and process.environ().get("SLURM_CONF") == mine:
                process.kill()
                killed += 1
    assert killed


def notes(api: str, key: str) -> str:
    found = httpx.post(f"{api}/artifacts/filter", json={"artifacts": {"key": {"any_": [key]}}})
    return "\n".join(str(artifact["data"]) for artifact in found.raise_for_status().json())


def test_gpu_steps_run_on_gpu_workers_and_cpu_steps_never_do(bench: Bench) -> None:
    bench.run(toys.quick, 2, needs="gpu")
    bench.run(toys.quick, 2, needs="cpu")
    gpus = [line.split()[3] for line in bench.marks()]
    assert all(gpu != "-" for gpu in gpus[:2])
    assert all(gpu == "-" for gpu in gpus[2:])
    assert bench.whole(2)
    assert bench.whole(2, "extract_layer")


def test_beyond_loopback_the_scheduler_speaks_tls_and_its_keys_are_the_user_s_alone(bench: Bench) -> None:
    host = "127.0.0.2"  # for saeflow an address like any other; it needs no network here
    bench.run(toys.quick, 1, profile(host=host))
    assert bench.whole(1)
    (script,) = list((bench.workspace / "logs" / "slurm" / "toy").glob("*.err"))
    assert f"tls://{host}" in script.read_text(encoding="utf-8")
    assert (bench.workspace / ".dask").stat().st_mode & 0o777 == 0o700


def test_what_is_there_starts_no_job(bench: Bench) -> None:
    bench.run(toys.quick, 2)
    last = commands.call(["sacct", "--completion", "--noheader"]).count("\n")
    bench.run(toys.quick, 2)
    assert commands.call(["sacct", "--completion", "--noheader"]).count("\n") == last
    assert commands.my_jobs() == []


@pytest.mark.parametrize(("how", "words"), [("scancel", "was cancelled"), ("kill -9", "ended as FAILED")])
def test_a_lost_worker_s_unit_runs_again_and_its_siblings_are_unharmed(
    bench: Bench, prefect_server: str, how: str, words: str
) -> None:
    def strike() -> None:
        wait_until(begun(bench, "0"))
        job = job_of(bench, "0")
        commands.cancel([job]) if how == "scancel" else kill_worker(job)

    meanwhile(strike)
    bench.run(toys.first_attempt_waits, 3)
    assert bench.whole(3)
    attempts = {line.split()[0]: line.split()[1] for line in bench.marks() if line.endswith("made")}
    assert attempts == {"0": "2", "1": "1", "2": "1"}
    assert words in notes(prefect_server, "train-sae-lost")


def test_a_unit_that_ends_its_worker_is_given_up_by_name(bench: Bench) -> None:
    with pytest.raises(StageFailed) as raised:
        bench.run(toys.kills_its_worker, 1)
    assert "train_sae[0]" in str(raised.value)
    assert len([line for line in bench.marks() if line.endswith("begins")]) == 3


def test_out_of_memory_goes_on_where_there_is_more(bench: Bench) -> None:
    bench.run(toys.hungry, 2, profile(gpu={"memory": "1GB", "more_memory": ["4GB"]}))
    assert bench.whole(2)
    tiers = [line.split(" ", 4)[4] for line in bench.marks() if line.startswith("0 ")]
    assert tiers == ["tier 0", "tier 1"]


def test_units_longer_than_their_job_go_on_in_the_next_and_cost_each_other_nothing(bench: Bench) -> None:
    bench.run(toys.counts_up, 2, profile(gpu={"walltime": "00:01:00", "workers": 1}))
    assert bench.whole(2)
    for unit in ("0", "1"):
        lines = [line.split() for line in bench.marks() if line.startswith(f"{unit} ")]
        starts = [int(line[-1]) for line in lines if line[-2] == "from"]
        assert starts == sorted(set(starts))
        assert {line[1] for line in lines} == {"1"}
    assert len({line.split()[2] for line in bench.marks()}) >= 2


def test_a_partition_that_does_not_exist_is_told_at_once(bench: Bench) -> None:
    with pytest.raises(BadInput, match="partition"):
        bench.run(toys.quick, 1, profile(gpu={"partition": "gpus"}))


def test_more_gpus_than_there_are_is_told_at_once(bench: Bench) -> None:
    with pytest.raises(BadInput, match="node configuration is not available"):
        bench.run(toys.quick, 1, profile(gpu={"gres": "gpu:64"}))


def test_workers_that_end_before_they_begin_are_given_up_with_their_last_words(bench: Bench) -> None:
    with pytest.raises(StageFailed) as raised:
        bench.run(toys.quick, 1, profile(setup=["echo this node has no disk >&2; exit 3"]))
    assert "this node has no disk" in str(raised.value)


def test_a_worker_that_cannot_import_the_step_is_no_silence(bench: Bench) -> None:
    with pytest.raises(StageFailed) as raised:
        bench.run(toys.quick, 1, profile(setup=["unset PYTHONPATH"]))
    assert "tests" in str(raised.value)


def test_two_studies_share_the_cluster(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Bench(tmp_path_factory.mktemp("other").resolve())
    thread = meanwhile(lambda: other.run(toys.quick, 3))
    bench.run(toys.quick, 3)
    thread.join(120)
    assert bench.whole(3)
    assert other.whole(3)


def test_a_cap_on_jobs_is_a_wait(bench: Bench) -> None:
    bench.run(toys.quick, 3, profile(submission_cap=1))
    assert bench.whole(3)
    assert len({line.split()[2] for line in bench.marks()}) == 1


def test_a_cap_that_another_study_fills_is_waited_for(bench: Bench) -> None:
    commands.call(["sbatch", "--job-name=other", "--time=1", "--output=/dev/null", "--wrap=sleep 12"])
    bench.run(toys.quick, 1, profile(submission_cap=1, give_up_after_s=5))
    assert bench.whole(1)


def test_a_controller_that_is_silent_for_a_moment_ends_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, really = [0], commands.my_jobs

    def now_and_then(*words: str, **how: str) -> list[commands.Job]:  # a fault seam: SLURM's controller, restarting
        asked[0] += 1
        if asked[0] % 2:
            raise BadInput("squeue: Unable to contact slurm controller (connect failure)")
        return really(*words, **how)

    monkeypatch.setattr(commands, "my_jobs", now_and_then)
    bench.run(toys.works_a_little, 2)
    monkeypatch.undo()
    assert bench.whole(2)
    assert asked[0] >= 4


def test_a_stage_without_units_is_done(bench: Bench) -> None:
    bench.run(toys.quick, 0)


def test_a_dead_node_s_unit_runs_elsewhere(bench: Bench, slurm: object) -> None:
    from infra.slurm import one_node

    struck: list[int] = []

    def strike() -> None:
        wait_until(begun(bench, "0"))
        job = commands.look_up(job_of(bench, "0"))
        assert job is not None
        struck.append(int(job.node.removeprefix("n")))
        one_node.stop_node(slurm, struck[0])  # type: ignore[arg-type]
        kill_worker(job.job_id)

    meanwhile(strike)
    try:
        bench.run(toys.first_attempt_waits, 2)
    finally:
        one_node.start_node(slurm, struck[0])  # type: ignore[arg-type]
    assert bench.whole(2)
