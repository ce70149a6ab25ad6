"""The job script of a worker, and the Dask scheduler that it reports to."""

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BadInput
from flows.runtime.environment import neutral_dask, past_proxies_lines
from flows.runtime.place import Place
from flows.runtime.profiles import SlurmPool, SlurmProfile
from flows.slurm.commands import JOB_PREFIX
from flows.slurm.doors import is_private

# A worker whose scheduler is gone (the submitting process died) ends by itself within this time.
DEATH_TIMEOUT_S = 45
# Workers retire this share of their walltime before it, and never less than a minute: time to write a checkpoint.
RETIRE_SHARE = 0.05
RETIRE_AT_LEAST_S = 60.0
# What sbatch takes as it stands; in anything else it looks for quotes, backslashes and comments.
_PLAIN = re.compile(r"[\w.,:;/=@+*%()\[\]|&!-]+", re.ASCII)
_SECTION = "saeflow"  # of Dask's configuration: what stands in its `slurm`, if anything, is for others
_PLACE_OF_NAME = "dummy-name"  # what dask-jobqueue calls the worker in a script that it only shows


@dataclass(frozen=True)
class JobOrder:
    """What one stage asks of SLURM."""

    place: Place
    profile: SlurmProfile
    pool: SlurmPool

    @property
    def name(self) -> str:
        """The jobs' name: `saeflow-<study>-<stage>`."""
        return f"{JOB_PREFIX}{self.place.study}-{self.place.stage}"

    @property
    def log_folder(self) -> Path:
        """Where the jobs' .out and .err files lie; a relative one starts at the workspace."""
        given = self.profile.log_folder or f"logs/slurm/{self.place.study}"
        return self.place.workspace / Path(given).expanduser()

    @property
    def private(self) -> bool:
        """Whether the scheduler listens on loopback only, so that no other machine reaches it."""
        return is_private(self.profile)


def open_cluster(order: JobOrder) -> Any:
    """A `SLURMCluster` with a scheduler and no workers yet; it speaks TLS only.

    Raises:
        BadInput: the host, interface or port is not this machine's.
    """
    _use_own_section()
    from dask_jobqueue.slurm import SLURMCluster

    try:
        return SLURMCluster(n_workers=0, **cluster_options(order))
    except (OSError, RuntimeError, ValueError) as error:
        where = order.profile.host or order.profile.interface or "this machine's name"
        raise BadInput(f"host: Dask's scheduler cannot listen on {where}: {error}") from error


def cluster_options(order: JobOrder) -> dict[str, Any]:
    """What dask-jobqueue is given for this order, quoted; the rest it takes from a section of ours, its defaults."""
    profile, pool = order.profile, order.pool
    # Dask's own pages have no lock: what is left of them stays on loopback, whatever the scheduler listens on.
    scheduler: dict[str, Any] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    scheduler["port"] = profile.scheduler_port
    if profile.host:
        scheduler["host"] = profile.host
    order.log_folder.mkdir(parents=True, exist_ok=True)
    _neutral_folder(order).mkdir(parents=True, exist_ok=True)
    return {
        "config_name": _SECTION,
        "python": shlex.quote(sys.executable),
        "worker_command": "flows.slurm.worker",
        "queue": sbatch_word(pool.partition),
        "account": sbatch_word(pool.account) if pool.account else None,
        "cores": pool.cores,
        "processes": 1,
        "memory": pool.memory,
        "walltime": pool.walltime,
        "job_name": order.name,
        "interface": None if profile.host else profile.interface,
        "security": True,  # on loopback, too, which other users of this machine reach
        "shared_temp_directory": str(_private_folder(order.place.workspace)),
        "scheduler_options": scheduler,
        "job_extra_directives": _directives(order),
        "job_script_prologue": prologue(order),
        "death_timeout": DEATH_TIMEOUT_S,
        "local_directory": '"{}"'.format((profile.scratch or "${TMPDIR:-/tmp}").replace('"', r"\"")),
        "worker_extra_args": _worker_arguments(order),
    }


def _use_own_section() -> None:
    neutral_dask()
    import dask
    import dask_jobqueue  # noqa: F401 — it registers its defaults

    defaults = dask.config.merge(*dask.config.defaults)
    dask.config.set({f"jobqueue.{_SECTION}": defaults["jobqueue"]["slurm"]})


def job_header(order: JobOrder) -> str:
    """The first line and the #SBATCH lines of this order's jobs."""
    lines = example_script(order).splitlines()
    return "\n".join([lines[0], *(line for line in lines if line.startswith("#SBATCH"))])


def example_script(order: JobOrder) -> str:
    """The script that a worker of this order would have; the scheduler's address is made up."""
    _use_own_section()
    from dask_jobqueue.slurm import SLURMJob

    scheduler_only = ("scheduler_options", "shared_temp_directory", "security")
    options = {name: value for name, value in cluster_options(order).items() if name not in scheduler_only}
    job: Any = SLURMJob
    script: str = job("tls://SCHEDULER:PORT", name="$SLURM_JOB_ID", **options).job_script()
    return script


def job_script(cluster: Any) -> str:
    """The script of one worker, named after its job."""
    script: str = cluster.job_script()
    if cluster.shared_temp_directory:  # the certificates' files, which dask-jobqueue does not quote
        files = re.escape(cluster.shared_temp_directory) + r"/[\w.-]+"
        script = re.sub(files, lambda found: shlex.quote(found[0]), script)
    return script.replace(_PLACE_OF_NAME, "$SLURM_JOB_ID")


def retire_before_s(walltime_s: float) -> float:
    """How long before its walltime a worker takes no further work, seconds."""
    return min(max(RETIRE_AT_LEAST_S, RETIRE_SHARE * walltime_s), walltime_s / 2)


def _directives(order: JobOrder) -> list[str]:
    pool = order.pool
    given = {
        "--qos": pool.qos,
        "--gres": pool.gres,
        "--constraint": pool.constraint,
        "--reservation": pool.reservation,
        "--exclude": pool.exclude,
    }
    lines = [f"-e {_log_pattern(order, 'err')}", f"-o {_log_pattern(order, 'out')}"]
    lines += [f"{option}={sbatch_word(value)}" for option, value in given.items() if value]
    # A lost unit is sent again by the flow, which counts it; SLURM must not start it a second time as well.
    return [*lines, f"--chdir={sbatch_word(str(_neutral_folder(order)))}", "--no-requeue", *pool.directives]


def sbatch_word(text: str) -> str:
    """A value as sbatch reads it in an #SBATCH line, where it ends at white space or `#` unless quoted."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'


def _log_pattern(order: JobOrder, ending: str) -> str:
    """Where SLURM writes a job's output, `%j` being its id.

    Raises:
        BadInput: the path holds a backslash, after which SLURM fills in no id.
    """
    if "\\" in str(order.log_folder):
        raise BadInput(
            f"{order.log_folder}: SLURM cannot name a job's log below a folder with a backslash in its path; "
            "take another --workspace, or name a log_folder in the profile"
        )
    return sbatch_word(f"{str(order.log_folder).replace('%', '%%')}/{order.name}-%j.{ending}")


def _neutral_folder(order: JobOrder) -> Path:
    """Where jobs start: a folder of ours, for Prefect reads .env and pyproject.toml of the one that it works in."""
    return order.place.workspace / "prefect"


def prologue(order: JobOrder) -> list[str]:
    """The lines before the worker starts."""
    ends = int(order.pool.walltime_s - retire_before_s(order.pool.walltime_s))
    fixed = {
        "PYTHONSAFEPATH": "1",  # a folder `core` where the job starts must not shadow ours
        "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]",  # no pages
        "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "false",  # SLURM counts memory; a paused worker would hang
        "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "false",
        "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "false",
    }
    lines = [f"export {name}={value}" for name, value in fixed.items()]
    lines += [f"export SAEFLOW_JOB_SECONDS={ends}", f"export SAEFLOW_JOB_ENDS=$(( $(date +%s) + {ends} ))"]
    return [*_only_for_the_living(order), *lines, *order.profile.setup, *past_proxies_lines()]


def _only_for_the_living(order: JobOrder) -> list[str]:
    """A job that waited in the queue while its study's flow was killed ends as it starts, and holds no GPU."""
    if order.place.alive is None:
        return []
    words = "the flow that asked for this worker has ended"
    # Ten minutes: the nodes' clocks may differ from the file server's.
    alive = shlex.quote(str(order.place.alive))
    return [f'[ -n "$(find {alive} -mmin -10 2>/dev/null)" ] || {{ echo "{words}" >&2; exit 0; }}']


def _worker_arguments(order: JobOrder) -> list[str]:
    # What is left of a worker's own pages has no lock: it stays on loopback.
    # SLURM is the one that ends a worker; a nanny, a second guard, would start it again.
    arguments = ["--no-nanny", "--nthreads 1", "--no-dashboard", "--dashboard-address 127.0.0.1:0"]
    arguments.append("--preload tasks.worker_end")
    if order.profile.host and order.private:
        arguments.append("--host 127.0.0.1")
    if order.profile.worker_ports:
        arguments.append(f"--worker-port {shlex.quote(order.profile.worker_ports)}")
    return arguments


def _private_folder(workspace: Path) -> Path:
    folder = workspace / ".dask"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # certificates with their keys lie here for the workers
    return folder
