"""The flow itself as a small job, for login nodes that end long processes."""

import shlex
import sys
from pathlib import Path

from core.errors import BadInput
from flows.runtime.environment import past_proxies_lines
from flows.runtime.place import Place
from flows.runtime.profiles import SlurmProfile
from flows.runtime.settings import read_settings
from flows.slurm import commands
from flows.slurm.doors import is_private
from flows.slurm.job import JobOrder, job_header

# Time to write checkpoints and to take the workers' jobs back before the walltime.
_STOP_BEFORE_S = 90


def submit_flow(profile: SlurmProfile, study: str, words: list[str], workspace: Path) -> tuple[str, Path]:
    """Hand `saeflow WORDS` in as a job of the CPU pool; its id and its log.

    Near its walltime it is stopped as by Ctrl-C; handed in again it goes on.

    Raises:
        BadInput: SLURM refuses, or workers could not reach a flow that runs on another node.
    """
    if profile.host is not None and not is_private(profile):
        raise BadInput("host: it names this machine, and a submitted flow runs on another; name `interface` instead")
    order = JobOrder(Place(study, "flow", workspace), profile, profile.cpu)
    command = [sys.executable, "-m", "cli", *words]
    lines = [
        job_header(order),
        f"#SBATCH --signal=B:INT@{_STOP_BEFORE_S}",
        "export PYTHONSAFEPATH=1",
        f"export SAEFLOW_WORKSPACE={shlex.quote(str(workspace))}",
        # Absolute: the job starts in another folder than the one where the command was typed.
        f"export SAEFLOW_TRACKING_URI={shlex.quote(read_settings().tracking_uri)}",
        *profile.setup,
        *past_proxies_lines(),
        # The shell hands the signal on, and waits until the flow has put everything away.
        f"{shlex.join(command)} & child=$!",
        "trap 'kill -INT $child' INT TERM",
        "wait $child; wait $child",
    ]
    job_id = commands.submit("\n".join(lines) + "\n")
    return job_id, order.log_folder / f"{order.name}-{job_id}.out"
