"""`saeflow cluster` and `run --submit`, as a user types them, on a real SLURM."""

from pathlib import Path

import pytest
import yaml

from flows.runtime.settings import PROJECT
from flows.slurm import commands
from tests.databases import CopyDatabases
from tests.flows.commands import saeflow, saeflow_here
from tests.flows.surroundings import ODD_NAME, hostile
from tests.packages import install, shown_package
from tests.slurm.conftest import wait_until

pytestmark = pytest.mark.timeout(600)


def test_a_profile_that_works_is_told_so_from_both_pools_workers(
    tmp_path: Path, slurm: Path, copy_databases: CopyDatabases
) -> None:
    surroundings = hostile(tmp_path / "home")
    copy_databases(tmp_path / ODD_NAME)
    told = saeflow(tmp_path / ODD_NAME, "cluster", "check", "slurm-one-node", limit_s=240, more=surroundings)
    assert told.returncode == 0, told.stdout + told.stderr
    for pool in ("cpu", "gpu"):
        for subject in ("worker", "connection", "modules", "analyses", "workspace", "prefect", "mlflow"):
            assert f"✓ {pool} {subject}:" in told.stdout
    assert "! gpu gpu: gpu:1 was given, yet torch sees no GPU" in told.stdout  # they are made up
    assert "gpu job: job" not in told.stdout  # the partition and time that SLURM gave are the profile's
    for words in (
        "! SBATCH_PARTITION: debug would outrank the profile; it is taken out",
        "! SBATCH_TIMELIMIT: 1 would outrank",
        "! SQUEUE_STATES: PENDING is taken out",
        "! DASK_DISTRIBUTED__WORKER__PRELOAD: left out",
        f"! {surroundings['HOME']}/.config/dask/jobqueue.yaml: is not read",
        "✓ HTTP_PROXY, https_proxy: in force, but never for 127.0.0.1, localhost, ::1",
        "! ALL_PROXY, SSL_CERT_FILE: left out",
    ):
        assert words in told.stdout
    assert (
        "secret" not in told.stdout and "! MLFLOW_EXPERIMENT_ID, " in told.stdout and "PREFECT_PROFILE" in told.stdout
    )


def test_a_package_that_the_workers_lack_is_told_with_the_fix(
    tmp_path: Path, slurm: Path, copy_databases: CopyDatabases
) -> None:
    copy_databases(tmp_path / "workspace")
    profile = yaml.safe_load((PROJECT / "deployments" / "clusters" / "slurm-one-node.yaml").read_text("utf-8"))
    profile["setup"] = ["unset PYTHONPATH"]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(profile), encoding="utf-8")
    here = {"PYTHONPATH": str(install(shown_package(), tmp_path / "package"))}
    told = saeflow(tmp_path / "workspace", "cluster", "check", str(path), limit_s=240, more=here)
    assert told.returncode == 1
    for pool in ("cpu", "gpu"):
        assert (
            f"✗ {pool} analyses: firing of saeflow-firing 1.0 is not installed there; install the same packages in the "
            "environment that the workers use"
        ) in told.stdout


def test_a_wrong_partition_is_told_with_the_field_before_anything_runs(tmp_path: Path, slurm: Path) -> None:
    profile = yaml.safe_load((PROJECT / "deployments" / "clusters" / "slurm-one-node.yaml").read_text("utf-8"))
    profile["gpu"]["partition"] = "gpus"
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(profile), encoding="utf-8")
    told = saeflow_here(tmp_path, "cluster", "check", str(path))
    assert told.returncode == 1
    assert (
        "✗ gpu job: sbatch: invalid partition specified: gpus; allocation failure: Invalid partition name specified"
        in told.stdout
    )
    run = saeflow_here(tmp_path, "run", "mini", "--cluster", str(path))
    assert run.returncode == 1
    assert "Invalid partition name specified" in run.stderr + run.stdout
    assert "Traceback" not in run.stderr + run.stdout


def test_a_submitted_flow_is_a_job_of_its_own(tmp_path: Path, slurm: Path, copy_databases: CopyDatabases) -> None:
    copy_databases(tmp_path / ODD_NAME)
    told = saeflow_here(tmp_path / ODD_NAME, "run", "mini", "--cluster", "slurm-one-node", "--submit")
    assert told.returncode == 0, told.stdout + told.stderr
    wait_until(lambda: any(job.name == "saeflow-mini-prepare" for job in commands.my_jobs()), 300)
    listed = saeflow_here(tmp_path / ODD_NAME, "cluster", "jobs", "mini")
    assert "saeflow-mini-flow" in listed.stdout
    flow = next(job.job_id for job in commands.my_jobs() if job.name == "saeflow-mini-flow")
    commands.call(["scancel", "--signal=INT", "--batch", flow])  # as SLURM does before the walltime
    wait_until(lambda: commands.my_jobs() == [], 120)
