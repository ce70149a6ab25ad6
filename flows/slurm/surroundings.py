"""What of the user's own would change a job, and what becomes of it."""

import os
from collections.abc import Iterator, Mapping

from flows.runtime.environment import (
    UNUSABLE,
    WHICH_SLURM,
    dask_files,
    direct_hosts,
    for_servers,
    outranks_the_profile,
    taken,
)
from flows.slurm.check import Finding

# What sbatch hands on to a job and saeflow leaves alone: it may be meant.
_GOES_ALONG = ("PYTHONPATH", "PYTHONHOME", "LD_PRELOAD", "BASH_ENV", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_SAID_ELSEWHERE = ("DASK_", "PREFECT_", "MLFLOW_", *UNUSABLE)


def check_surroundings() -> Iterator[Finding]:
    """What this shell and its configuration files hold that is taken out, or that goes along into jobs."""
    yield from _slurm(os.environ)
    yield from _left_out(_names("DASK_"), "Dask's settings come from the profile; its `setup` may export them")
    for path in dask_files():
        yield Finding(str(path), "warning", "is not read: Dask's settings come from the profile")
    yield from _left_out(_of_servers(os.environ), "PREFECT_API_URL and SAEFLOW_TRACKING_URI name servers of yours")
    yield from _left_out(sorted(taken().keys() - set(_names(*_SAID_ELSEWHERE))), "no job needs it")
    yield from _left_out(_names(*UNUSABLE), "it names no file, or a kind of proxy that no client here speaks")
    yield from _proxies(os.environ)
    for name in _GOES_ALONG:
        if os.environ.get(name):
            yield Finding(name, "warning", f"goes along into every job: {os.environ[name]}")


def _slurm(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name in WHICH_SLURM:
        if environment.get(name):
            yield Finding(name, "ok", f"{environment[name]}: this SLURM is asked")
    foreign = outranks_the_profile(environment)
    job = foreign.get("SLURM_JOB_ID")
    if job is not None:
        inherited = sum(not name.startswith("SBATCH_") for name in foreign)
        yield Finding("this shell", "warning", f"is in job {job}: its {inherited} variables stay out of workers' jobs")
    for name, value in sorted(foreign.items()):
        if name.startswith("SBATCH_"):
            words = f"{value} would outrank the profile; it is taken out, so write it into the profile if it is meant"
            yield Finding(name, "warning", words)
        elif job is None:
            yield Finding(name, "warning", f"{value} is taken out of SLURM's commands and of jobs")


def _names(*prefixes: str) -> list[str]:
    return sorted(name for name in taken() if name.lower().startswith(tuple(prefix.lower() for prefix in prefixes)))


def _left_out(names: list[str], why: str) -> Iterator[Finding]:
    """Names alone: what they hold may be a password."""
    if names:
        yield Finding(", ".join(names), "warning", f"left out; {why}")


def _of_servers(environment: Mapping[str, str]) -> list[str]:
    """Prefect's and MLflow's settings that saeflow's own servers and flows do not get."""
    kept = for_servers(environment, own_prefect=not environment.get("PREFECT_API_URL"))
    given = {**environment, **taken()}
    return sorted(name for name in given if name.startswith(("PREFECT_", "MLFLOW_")) and name not in kept)


def _proxies(environment: Mapping[str, str]) -> Iterator[Finding]:
    given = sorted(name for name in environment if name.lower().endswith("_proxy") and name.lower() != "no_proxy")
    if given:
        yield Finding(", ".join(given), "ok", f"in force, but never for {', '.join(direct_hosts())}")
