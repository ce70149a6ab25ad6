"""Try a profile out: what SLURM says of its job scripts, and what a real job finds on a worker."""

import json
import resource
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.analysis.packages import differences, registered
from core.entry_points import Registered
from core.errors import BadInput
from core.store.artifacts import SEEN_WITHIN_S
from flows.runtime.place import Place
from flows.runtime.profiles import SlurmPool, SlurmProfile
from flows.slurm import commands
from flows.slurm.job import JobOrder, example_script

_CALL_WITHIN_S = 20.0
Verdict = Literal["ok", "warning", "wrong"]
_POOLS: tuple[Literal["cpu", "gpu"], ...] = ("cpu", "gpu")


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    subject: str
    verdict: Verdict
    words: str


def orders(profile: SlurmProfile, workspace: Path) -> dict[str, JobOrder]:
    """What each pool would ask for."""
    return {pool: JobOrder(Place("check", pool, workspace), profile, getattr(profile, pool)) for pool in _POOLS}


def check_submission(profile: SlurmProfile, workspace: Path) -> Iterator[Finding]:
    """SLURM's commands, partitions and the job scripts themselves; nothing is run."""
    missing = [name for name in ("sbatch", "squeue", "scancel", "scontrol") if shutil.which(name) is None]
    if missing:
        yield Finding("commands", "wrong", f"{', '.join(missing)}: not on this machine; run this on a login node")
        return
    try:
        yield Finding("commands", "ok", commands.call(["scontrol", "--version"]).strip())
        commands.call(["sinfo", "--noheader"])
    except BadInput as error:
        yield Finding("controller", "wrong", f"{error}; SLURM_CONF says which SLURM is meant")
        return
    for pool, order in orders(profile, workspace).items():
        try:
            yield Finding(f"{pool} job", "ok", commands.would_start(example_script(order)))
        except BadInput as error:
            yield Finding(f"{pool} job", "wrong", f"{error}; change {pool}.* of the profile ({_asked(order)})")


def ask_slurm(profile: SlurmProfile, workspace: Path) -> None:
    """Ask about both pools' jobs before a study's first stage: the GPU workers are wanted an hour later.

    Raises:
        BadInput: SLURM would refuse one of them, or cannot be asked.
    """
    for finding in check_submission(profile, workspace):
        if finding.verdict == "wrong":
            raise BadInput(f"{finding.subject}: {finding.words}")


def check_workers(
    profile: SlurmProfile, workspace: Path, tracking_uri: str, patience_s: float, say: Callable[[str], None]
) -> Iterator[Finding]:
    """Run one small job a pool and report what it finds there.

    Raises:
        BadInput: SLURM refuses the job.
    """
    for pool, order in orders(profile, workspace).items():
        port = _call_back(profile)
        scheduler = f"{_address(profile)}:{port}"
        ports = profile.worker_ports or ""
        words = [sys.executable, "-m", "tasks.worker_check", str(workspace), tracking_uri, scheduler, ports]
        script = example_script(order).rstrip().rpartition("\n")[0] + f"\n{shlex.join(words)}\n"
        job_id = commands.submit(script)
        say(f"{pool}: job {job_id} is handed in; waiting up to {patience_s:.0f} s for it")
        yield from _verdicts(pool, order, job_id, patience_s)


def _address(profile: SlurmProfile) -> str:
    from distributed.utils import get_ip, get_ip_interface

    if profile.host:
        return profile.host
    return str(get_ip_interface(profile.interface) if profile.interface else get_ip())


def _call_back(profile: SlurmProfile) -> int:
    """Listen where Dask's scheduler would, for one caller, and call it back on the port that it names; our port."""
    try:
        server = socket.create_server((_address(profile), profile.scheduler_port))
    except (OSError, ValueError) as error:
        where = profile.host or profile.interface or "this machine's name"
        raise BadInput(f"host: nothing can listen on {where}, port {profile.scheduler_port}: {error}") from error

    def answer() -> None:
        with server, suppress(OSError, ValueError):
            caller, (host, *_) = server.accept()
            with caller:
                port = int(caller.makefile().readline())
                socket.create_connection((host, port), _CALL_WITHIN_S).close()

    threading.Thread(target=answer, daemon=True).start()
    return int(server.getsockname()[1])


def check_login_node() -> Iterator[Finding]:
    """What ends a long flow on a login node."""
    soft, _ = resource.getrlimit(resource.RLIMIT_CPU)
    if soft != resource.RLIM_INFINITY:
        words = f"processes here are killed after {soft} s of CPU time; run the flow as a job: saeflow run --submit"
        yield Finding("CPU time", "warning", words)
    lingering = _lingering()
    if lingering == "no":
        yield Finding("lingering", "warning", "your processes end when you log out: loginctl enable-linger")


def _lingering() -> str:
    if shutil.which("loginctl") is None:
        return "unknown"
    shown = subprocess.run(
        ["loginctl", "show-user", "--property=Linger", "--value"], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or "unknown"


def _verdicts(pool: str, order: JobOrder, job_id: str, patience_s: float) -> Iterator[Finding]:
    out = order.log_folder / f"{order.name}-{job_id}.out"
    try:
        job = _wait_for(job_id, patience_s)
    finally:
        commands.cancel([job_id])
    if job is None or job.alive:
        waits = f"still {job.state} ({job.reason})" if job else "unknown to SLURM"
        yield Finding(
            f"{pool} worker", "warning", f"job {job_id} is {waits} after {patience_s:.0f} s; nothing was seen"
        )
        return
    found = _told(out)
    if found is None:
        end = out.with_suffix(".err")
        yield Finding(f"{pool} worker", "wrong", f"job {job_id} ended as {job.state} and told nothing; see {end}")
        return
    with suppress(BadInput):  # SLURM may have forgotten a job that ended
        if differs := changed(order.pool, commands.job_fields(job_id)):
            yield Finding(f"{pool} job", "warning", f"job {job_id}: {differs}")
    yield Finding(f"{pool} worker", "ok", f"job {job_id} ran on {job.node} ({found['host']}), Python {found['python']}")
    for subject in ("connection", "modules", "analyses", "workspace", "prefect", "mlflow", "gpu"):
        yield _verdict(pool, order, subject, found)


def changed(pool: SlurmPool, fields: Mapping[str, str]) -> str:
    """How a job that SLURM took differs from its pool: by a plugin of the site, ~/.slurm/defaults or `directives`."""
    asked = {"Partition": pool.partition, "Account": pool.account, "QOS": pool.qos}
    differ = [
        f"{name} is {fields[name]}, the profile says {value}"
        for name, value in asked.items()
        if value and fields.get(name, "(null)").lower() not in ("(null)", *value.lower().split(","))
    ]
    limit = fields.get("TimeLimit", "")
    if not 0 <= commands.in_seconds(limit) - pool.walltime_s < 60:  # SLURM counts minutes
        differ.append(f"TimeLimit is {limit}, the profile says {pool.walltime}")
    return "; ".join(differ)


def _wait_for(job_id: str, patience_s: float) -> commands.Job | None:
    deadline = time.monotonic() + patience_s
    job = commands.look_up(job_id)
    while job is not None and not job.settled and time.monotonic() < deadline:
        time.sleep(1.0)
        job = commands.look_up(job_id)
    return job


def _told(out: Path) -> dict[str, Any] | None:
    """What the job printed; a network file system may show it late."""
    deadline = time.monotonic() + SEEN_WITHIN_S
    while True:
        try:
            found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8").splitlines()[-1])
            return found
        except (OSError, ValueError, IndexError):
            if time.monotonic() > deadline or (out.exists() and out.with_suffix(".err").stat().st_size):
                return None
        time.sleep(1.0)


def _verdict(pool: str, order: JobOrder, subject: str, found: dict[str, Any]) -> Finding:
    error = found.get(f"{subject}_error")
    if error is not None:
        return Finding(f"{pool} {subject}", "wrong", error)
    if subject == "analyses":
        return compare_packages(pool, [Registered(*one) for one in found["analyses"]])
    if subject == "gpu" and order.pool.gres and found["gpu"] == "none":
        return Finding(f"{pool} gpu", "warning", f"{order.pool.gres} was given, yet torch sees no GPU")
    return Finding(f"{pool} {subject}", "ok", str(found[subject]))


def compare_packages(pool: str, there: Sequence[Registered]) -> Finding:
    """The analyses of packages that a worker knows, against those that this machine would send it."""
    here = registered()
    if differ := differences(here, there):
        fix = f"install the same packages in the environment that the workers use (here: {sys.prefix})"
        return Finding(f"{pool} analyses", "wrong", f"{'; '.join(differ)}; {fix}")
    return Finding(f"{pool} analyses", "ok", ", ".join(map(str, here)) or "saeflow's own")


def _asked(order: JobOrder) -> str:
    pool = order.pool
    asked = {"partition": pool.partition, "account": pool.account, "qos": pool.qos, "gres": pool.gres}
    asked |= {"cores": str(pool.cores), "memory": pool.memory, "walltime": pool.walltime}
    return ", ".join(f"{name} {value}" for name, value in asked.items() if value)
