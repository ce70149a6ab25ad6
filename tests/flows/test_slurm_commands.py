"""Parsing what SLURM prints, against fakes of its commands; tests/slurm has the real one."""

from pathlib import Path

import pytest

from core.errors import BadInput
from flows.slurm import commands


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first in PATH: a test writes fakes of SLURM's commands into it."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def write(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


def test_a_missing_command_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="sbatch: no such command on this machine; run this where"):
        commands.submit("#!/bin/sh")


def test_a_job_s_id_is_read_on_a_federation_too(fake: Path) -> None:
    write(fake, "sbatch", "cat > /dev/null; echo '4711;cluster2'")
    assert commands.submit("#!/bin/sh") == "4711"


@pytest.mark.parametrize(
    "words",
    [
        "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates policy",
        "sbatch: error: AssocMaxSubmitJobLimit",
    ],
)
def test_a_full_queue_is_no_refusal(fake: Path, words: str) -> None:
    write(fake, "sbatch", f"cat > /dev/null; echo '{words}' >&2; exit 1")
    with pytest.raises(commands.QueueFull):
        commands.submit("#!/bin/sh")


def test_a_refusal_keeps_slurm_s_words(fake: Path) -> None:
    said = "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"
    write(fake, "sbatch", f"cat > /dev/null; echo '{said}' >&2; exit 1")
    with pytest.raises(BadInput, match=r"^sbatch: Batch job submission failed: Invalid account"):
        commands.submit("#!/bin/sh")


def test_only_living_jobs_of_ours_are_listed(fake: Path) -> None:
    lines = [
        "11|saeflow-demo-capture|RUNNING|None|n1",
        "12|saeflow-demo-capture|PENDING|Priority|",
        "13|saeflow-demo-capture|CANCELLED|None|n1",
        "14|somebody-elses|RUNNING|None|n2",
    ]
    write(fake, "squeue", f"printf '%s\\n' {' '.join(repr(line) for line in lines)}")
    found = commands.my_jobs()
    assert [job.job_id for job in found] == ["11", "12"]
    assert [job.waits for job in found] == [False, True]
    assert found[1].reason == "Priority"


def test_what_a_job_held_is_read_from_the_controller(fake: Path) -> None:
    shown = "JobId=9 JobState=COMPLETED RunTime=1-00:30:00 NodeList=n2 NumCPUs=4 AllocTRES=cpu=4,mem=8G,gres/gpu:a100=2"
    write(fake, "scontrol", f"echo '{shown}'")
    spent = commands.cost("9", "run", "train_sae")
    assert spent is not None
    assert (spent.node, spent.cpus, spent.gpus, spent.state) == ("n2", 4, 2, "COMPLETED")
    assert spent.gpu_hours == pytest.approx(2 * 24.5)


def test_what_a_job_held_is_read_from_the_accounting_once_the_controller_forgot_it(fake: Path) -> None:
    write(fake, "scontrol", "exit 1")
    write(fake, "sacct", "echo '9|n2|4|cpu=4,gres/gpu=1|120|TIMEOUT'; echo '9.batch|n2|4|cpu=4|120|FAILED'")
    spent = commands.cost("9", "run", "train_sae")
    assert spent is not None
    assert (spent.gpus, spent.seconds, spent.state) == (1, 120.0, "TIMEOUT")


def test_an_ended_job_is_looked_up_in_the_accounting_once_the_controller_forgot_it(fake: Path) -> None:
    write(fake, "scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    write(fake, "sacct", "echo '15|saeflow-demo|OUT_OF_MEMORY|n3'")
    job = commands.look_up("15")
    assert job is not None
    assert (job.state, job.node, job.alive) == ("OUT_OF_MEMORY", "n3", False)
