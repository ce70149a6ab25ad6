"""Jobs whose workspace has an odd path, from a shell full of SLURM variables, on a real SLURM."""

from pathlib import Path

import pytest

from flows.runtime.place import Place
from flows.slurm import commands
from flows.slurm.check import changed
from flows.slurm.job import JobOrder, example_script
from tests.flows.surroundings import hostile
from tests.slurm.conftest import profile, wait_until

NAMES = ["50%j ملف جديد # x", 'say "it\'s" $HOME `id`; a&b', "a[1]*?b=c NodeList=none JobState=FAILED"]


def test_a_job_starts_and_logs_in_its_workspace_as_the_profile_says(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in hostile(tmp_path / "home").items():
        if name.startswith(("S", "CUDA")):
            monkeypatch.setenv(name, value)
    jobs: list[tuple[JobOrder, str]] = []
    for name in NAMES:
        alive = tmp_path / name / "alive"
        alive.parent.mkdir()
        alive.touch()
        order = JobOrder(Place("demo", "capture", tmp_path / name, alive=alive), profile(), profile().gpu)
        script = example_script(order).rstrip().rpartition("\n")[0]
        says = '\necho "$(pwd) $CUDA_VISIBLE_DEVICES $SBATCH_PARTITION"; env | grep -q PATH='
        commands.would_start(script)
        jobs.append((order, commands.submit(script + says)))
    assert {job.job_id for job in commands.my_jobs("saeflow-demo-capture")} <= {job_id for _, job_id in jobs}
    for order, job_id in jobs:
        wait_until(lambda job_id=job_id: commands.look_up(job_id).settled, 60)  # type: ignore[misc,union-attr]
        job, fields = commands.look_up(job_id), commands.job_fields(job_id)
        assert job is not None and (job.state, job.node in ("n1", "n2", "n3")) == ("COMPLETED", True)
        assert changed(order.pool, fields) == ""
        said = (order.log_folder / f"{order.name}-{job_id}.out").read_text("utf-8")
        assert said in [f"{order.place.workspace}/prefect {gpu} \n" for gpu in ("0", "1")]


def test_a_job_that_the_site_or_a_directive_changed_is_told(tmp_path: Path, slurm: Path) -> None:
    pool = profile(gpu={"directives": ["--partition=cpu", "--time=3"]}).gpu
    order = JobOrder(Place("demo", "capture", tmp_path), profile(), pool)
    job_id = commands.submit(example_script(order).rstrip().rpartition("\n")[0] + "\ntrue\n")
    said = changed(pool, commands.job_fields(job_id))
    assert said == "Partition is cpu, the profile says gpu; TimeLimit is 00:03:00, the profile says 00:10:00"
    commands.cancel([job_id])
