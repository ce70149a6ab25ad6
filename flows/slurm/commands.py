"""What SLURM is told and asked, through its own commands; its own words come back where it refuses."""

import os
import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from core.errors import BadInput
from core.store.ledger import JobCost
from flows.runtime.environment import for_slurm

# sinfo and squeue on a busy controller may take many seconds; beyond this it is called unreachable.
_PATIENCE_S = 60.0
# What a limit on the number of jobs is called: a job over it is to be handed in later, it is not wrong.
_FULL = re.compile(r"MaxSubmit|AssocGrpSubmit|QOSGrpSubmit|Job limit|too many jobs", re.IGNORECASE)
# COMPLETING is none of them: its processes are gone, only the node has not said so yet.
_ALIVE = frozenset({"PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "REQUEUED", "SIGNALING", "STAGE_OUT", "STOPPED"})
# What is no refusal: the job would be taken, and wait.
_LATER = re.compile(r"down, drained or reserved|nodes.* not available", re.IGNORECASE)
# A controller that restarts says nothing of the job.
_AWAY = re.compile(r"unable to contact|timed out|connection refused|connect failure", re.IGNORECASE)
JOB_PREFIX = "saeflow-"


class QueueFull(Exception):
    """SLURM takes no further job of this user now."""


@dataclass(frozen=True)
class Job:
    """A job as SLURM sees it: `state` in SLURM's words, `reason` why it waits or ended."""

    job_id: str
    name: str
    state: str
    reason: str = ""
    node: str = ""

    @property
    def alive(self) -> bool:
        """Whether it runs or may still run."""
        return self.state in _ALIVE

    @property
    def settled(self) -> bool:
        """Whether it has ended and SLURM says how: COMPLETING hides that while the node tidies up."""
        return not self.alive and self.state != "COMPLETING"

    @property
    def waits(self) -> bool:
        """Whether it waits in the queue."""
        return self.state in ("PENDING", "CONFIGURING", "REQUEUED")


def call(words: Sequence[str], script: str | None = None) -> str:
    """What a SLURM command prints.

    Raises:
        BadInput: the command is not there, does not answer, or refuses; its own words are in the message.
    """
    done = _run(words, script)
    if done.returncode != 0:
        raise BadInput(f"{words[0]}: {_said(done.stderr) or _said(done.stdout) or f'exit code {done.returncode}'}")
    return done.stdout


def _run(words: Sequence[str], script: str | None = None) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            list(words),
            input=script,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env=for_slurm(os.environ, words[0]),
            timeout=_PATIENCE_S,
            check=False,
        )
    except FileNotFoundError as error:
        mend = "run this where SLURM's commands are (a login node), or take another cluster profile"
        raise BadInput(f"{words[0]}: no such command on this machine; {mend}") from error
    except subprocess.TimeoutExpired as error:
        raise BadInput(f"{words[0]}: SLURM's controller has not answered for {_PATIENCE_S:.0f} s") from error


def _said(text: str) -> str:
    lines = [re.sub(r"^(\w+: )?(error|fatal): ", "", line.strip()) for line in text.splitlines()]
    return "; ".join(line for line in lines if line)


def submit(script: str) -> str:
    """Hand a job script in; the job's id.

    Raises:
        QueueFull: a limit on the number of jobs is reached; try again later.
        BadInput: it is refused.
    """
    try:
        return call(["sbatch", "--parsable"], script).strip().partition(";")[0]
    except BadInput as error:
        if _FULL.search(str(error)):
            raise QueueFull(str(error)) from error
        raise


def would_start(script: str) -> str:
    """What SLURM says of a job script without taking it: when and where it would start.

    Raises:
        BadInput: it would be refused.
    """
    done = _run(["sbatch", "--test-only"], script)
    words = _said(done.stderr)  # there, too, when the job would be taken
    if done.returncode != 0 and not any(kind.search(words) for kind in (_FULL, _LATER, _AWAY)):
        raise BadInput(f"sbatch: {words}")
    return words


def my_jobs(name: str | None = None, prefix: str = JOB_PREFIX) -> list[Job]:
    """The user's jobs of this name, or whose name starts with `prefix`, that wait or run."""
    named = [f"--name={name}"] if name else []
    listed = call(["squeue", "--me", "--noheader", *named, "--format=%i|%j|%T|%r|%N"])
    # Asked for a cluster by name (SLURM_CLUSTERS), squeue begins with a line that says which.
    jobs = [Job(*(part.strip() for part in line.split("|", 4))) for line in listed.splitlines() if line.count("|") >= 4]
    return [job for job in jobs if job.name.startswith(prefix) and job.alive]


def told_shortly(jobs: Sequence[Job]) -> str:
    """`2 running, 2 pending (Priority)`."""
    pending = [job for job in jobs if job.waits]
    reasons = dict.fromkeys(job.reason for job in pending if job.reason not in ("", "None"))
    why = f" ({', '.join(reasons)})" if reasons else ""
    return f"{len(jobs) - len(pending)} running, {len(pending)} pending{why}"


def look_up(job_id: str) -> Job | None:
    """A job, ended ones too, as long as the controller or the accounting remembers it."""
    try:
        fields = job_fields(job_id)
    except BadInput:
        return _from_accounting(job_id)
    return Job(job_id, fields.get("JobName", ""), fields["JobState"], fields.get("Reason", ""), fields["NodeList"])


def job_fields(job_id: str) -> dict[str, str]:
    """All that `scontrol show job` says.

    Raises:
        BadInput: the controller no longer knows the job.
    """
    shown = call(["scontrol", "show", "job", "--oneliner", job_id])
    # Backwards: the first of a name counts, for the paths at the end may look like further fields.
    return dict(reversed(re.findall(r"(\S+?)=(\S*)", shown)))


def cost(job_id: str, flow_run: str, stage: str) -> JobCost | None:
    """What an ended job held, from the controller while it remembers, else from the accounting; null when neither
    knows."""
    try:
        fields = job_fields(job_id)
    except BadInput:
        return _cost_from_accounting(job_id, flow_run, stage)
    given = fields.get("AllocTRES", "") or fields.get("TRES", "")
    return JobCost(
        flow_run,
        stage,
        job_id,
        fields.get("NodeList", ""),
        int(fields.get("NumCPUs", "1").partition("-")[0]),
        _gpus(given) or _gpus(fields.get("TresPerNode", "")),
        in_seconds(fields.get("RunTime", "")),
        fields["JobState"],
    )


def _cost_from_accounting(job_id: str, flow_run: str, stage: str) -> JobCost | None:
    columns = "JobID,NodeList,AllocCPUS,AllocTRES,ElapsedRaw,State"
    try:
        listed = call(["sacct", "--noheader", "--parsable2", f"--format={columns}", f"--jobs={job_id}"])
    except BadInput:
        return None
    for line in listed.splitlines():
        found, node, cpus, given, seconds, state = line.split("|")
        if found == job_id:
            return JobCost(flow_run, stage, job_id, node, int(cpus), _gpus(given), float(seconds), state.split()[0])
    return None


def _gpus(given: str) -> int:
    counts = [int(count) for count in re.findall(r"gpu(?::[^,=:]+)?[=:](\d+)", given)]
    return max(counts, default=0)


def in_seconds(text: str) -> float:
    """SLURM's `1-00:30:00` or `00:30:00` in seconds; 0 for what is no time."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)", text)
    if found is None:
        return 0.0
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _from_accounting(job_id: str) -> Job | None:
    for source in ([], ["--completion"]):
        columns = "JobID,JobName,State,NodeList"
        try:
            listed = call(["sacct", *source, "--noheader", "--parsable2", f"--format={columns}", f"--jobs={job_id}"])
        except BadInput:
            continue
        for line in listed.splitlines():
            found, name, state, node = line.split("|")
            if found == job_id:
                return Job(job_id, name, state.split()[0], "", node)
    return None


def cancel(job_ids: Iterable[str], only_waiting: bool = False) -> None:
    """End jobs; ones that ended already are no error, and a silent controller is asked three times."""
    ids = list(job_ids)
    for _ in range(3 if ids else 0):
        with suppress(BadInput):
            state = ["--state=PENDING"] if only_waiting else []
            if _run(["scancel", "--quiet", *state, *ids]).returncode == 0:
                return
        time.sleep(1.0)
