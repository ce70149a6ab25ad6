"""Cluster profiles: where a study's steps run, read from deployments/clusters/*.yaml and checked at the edge."""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from core.errors import BadInput
from core.planning.steps import STEPS
from flows.runtime.environment import neutral_dask

_CLOSED = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
_UNSET = re.compile(r"<[^<>]*>")
_MEMORY = re.compile(r"\d+(\.\d+)?\s*[KMGT]i?B?", re.IGNORECASE)
_WALLTIME = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")


def _memory(text: str) -> str:
    if not _MEMORY.fullmatch(text):
        raise ValueError(f"{text!r} is no amount of memory; write it like 16GB")
    return text


def _one_line(text: str) -> str:
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise ValueError("a line break or control character has no place in a job script; write it in one line")
    return text


def _bytes(text: str) -> int:
    neutral_dask()
    from dask.utils import parse_bytes  # here, for the front door imports profiles before it needs Dask

    return int(parse_bytes(text))


def _walltime(text: str) -> str:
    if not _WALLTIME.fullmatch(text):
        raise ValueError(f"{text!r} is no walltime; write it like 02:00:00 or 1-00:00:00, in quotes")
    return text


Line = Annotated[str, AfterValidator(_one_line)]
Memory = Annotated[str, AfterValidator(_memory)]
Walltime = Annotated[str, AfterValidator(_walltime)]


class Pool(BaseModel):
    """The workers of one kind."""

    model_config = _CLOSED

    workers: Annotated[int, Field(ge=1)] = 2
    """Units worked on at once: the most workers of this kind."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads a unit; it decides the order of sums, so keep it fixed to repeat a study bit for bit."""


class SlurmPool(Pool):
    """Workers of one kind on SLURM: a job is a worker, and a worker has one unit at a time."""

    min_workers: Annotated[int, Field(ge=0)] = 0
    """Workers kept until the stage ends, though fewer units are left."""
    partition: Line
    """SLURM partition (sbatch -p)."""
    account: Line | None = None
    """Account that is charged (sbatch -A)."""
    qos: Line | None = None
    """Quality of service (sbatch --qos)."""
    gres: Line | None = None
    """Generic resources of a worker, such as gpu:1 (sbatch --gres)."""
    cores: Annotated[int, Field(ge=1)] = 1
    """CPUs of a worker (sbatch --cpus-per-task)."""
    memory: Memory = "8GB"
    """Memory of a worker (sbatch --mem)."""
    more_memory: tuple[Memory, ...] = ()
    """What a unit that ran out of memory is given next, and after that."""
    walltime: Walltime = "01:00:00"
    """Time of a worker (sbatch -t); what is not done by then checkpoints and goes on in the next job."""
    constraint: Line | None = None
    """Features that a node must have (sbatch -C)."""
    reservation: Line | None = None
    """Reservation to run in."""
    exclude: Line | None = None
    """Nodes to keep away from (sbatch -x)."""
    directives: tuple[Line, ...] = ()
    """Further #SBATCH lines, without the #SBATCH."""

    @model_validator(mode="after")
    def _threads_fit(self) -> "SlurmPool":
        if self.threads > self.cores:
            raise ValueError(f"threads is {self.threads}, more than cores ({self.cores}); raise cores or lower threads")
        if list(self.more_memory) != sorted(self.more_memory, key=_bytes):
            raise ValueError(f"more_memory is {', '.join(self.more_memory)}; each amount must be larger than the last")
        if self.min_workers > self.workers:
            raise ValueError(f"min_workers is {self.min_workers}, more than workers ({self.workers})")
        return self

    def with_more_memory(self) -> "SlurmPool | None":
        """This pool with the next larger amount of `more_memory`; null where there is none."""
        larger = tuple(memory for memory in self.more_memory if _bytes(memory) > _bytes(self.memory))
        return self.model_copy(update={"memory": larger[0], "more_memory": larger[1:]}) if larger else None

    @property
    def walltime_s(self) -> int:
        """The walltime in seconds."""
        found = _WALLTIME.fullmatch(self.walltime)
        assert found is not None
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


class _OneMachine(BaseModel):
    model_config = _CLOSED

    cpu: Pool = Pool()
    """Units of steps that need no GPU."""
    gpu: Pool = Pool()
    """Units of steps that use a GPU where there is one."""


class ThreadsProfile(_OneMachine):
    """All work in this process."""

    kind: Literal["threads"]
    """This process."""


class LocalProfile(_OneMachine):
    """Worker processes on this machine (Dask LocalCluster)."""

    kind: Literal["local"]
    """Worker processes on this machine."""


class SlurmProfile(BaseModel):
    """Workers that are SLURM jobs (dask-jobqueue)."""

    model_config = _CLOSED
    kind: Literal["slurm"]
    """SLURM jobs."""
    cpu: SlurmPool
    """Workers of steps that need no GPU."""
    gpu: SlurmPool
    """Workers of steps that use a GPU."""
    steps: Mapping[str, Mapping[str, Any]] = {}
    """Fields of the pool that are different for one step, such as `train_sae: {memory: 64GB}`."""
    host: Line | None = None
    """Address of this machine that the nodes reach; else that of `interface`, else the machine's name."""
    interface: Line | None = None
    """Network interface of this machine and of the nodes, such as ib0."""
    scheduler_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of Dask's scheduler on this machine; 0 takes a free one."""
    worker_ports: Line | None = None
    """Ports of the workers, such as 40000:40100; none given takes free ones."""
    submission_cap: Annotated[int, Field(ge=1)] | None = None
    """Jobs of yours that SLURM may have at once, all studies together; beyond it workers wait."""
    scratch: Line | None = None
    """Node-local folder for temporary files; may name variables of the job, such as $TMPDIR."""
    setup: tuple[str, ...] = ()
    """Lines of the job script before the worker starts, such as `module load cuda` or `export https_proxy=…`."""
    log_folder: Line | None = None
    """Folder of SLURM's .out and .err files; else logs/slurm/<study> in the workspace."""
    give_up_after_s: Annotated[float, Field(gt=0)] = 120.0
    """Seconds without a worker that lives or waits in the queue, after which a stage fails."""

    @model_validator(mode="after")
    def _steps_are_known(self) -> "SlurmProfile":
        for step in self.steps:
            if step not in STEPS:
                raise ValueError(f"steps: {step!r} is no step; steps are {', '.join(STEPS)}")
            self.pool(step)
        return self

    def pool(self, step: str) -> SlurmPool:
        """The pool of a step, with what is different for it."""
        base = self.gpu if STEPS[step].needs == "gpu" else self.cpu
        return SlurmPool.model_validate({**base.model_dump(), **self.steps.get(step, {})})


Profile = ThreadsProfile | LocalProfile | SlurmProfile
_PROFILE: TypeAdapter[Profile] = TypeAdapter(Annotated[Profile, Field(discriminator="kind")])


def pool_of(profile: Profile, step: str) -> Pool:
    """The workers that a step runs on."""
    if isinstance(profile, SlurmProfile):
        return profile.pool(step)
    return profile.gpu if STEPS[step].needs == "gpu" else profile.cpu


def load_profile(path: Path) -> Profile:
    """Read a cluster profile.

    Raises:
        BadInput: the file is no profile, or a place to fill in is still open; the message names the field.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        _refuse_open_places(raw, path.name)
        return _PROFILE.validate_python(raw)
    except (yaml.YAMLError, ValidationError) as error:
        raise BadInput(f"{path.name}: not a cluster profile: {_first_line(error)}") from error


def _refuse_open_places(value: Any, name: str, field: str = "") -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_open_places(item, name, f"{field}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _refuse_open_places(item, name, f"{field}[{number}]")
    elif isinstance(value, str) and _UNSET.search(value):
        raise BadInput(f"{name}: {field}: {value!r} is a place to fill in: write your cluster's value there")


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        item = error.errors(include_url=False)[0]
        kinds = ("threads", "local", "slurm")
        field = ".".join(str(part) for part in item["loc"] if part not in kinds)
        given = "" if item["type"] == "missing" else f" (given: {item['input']!r})"
        return f"{field}: {item['msg'].removeprefix('Value error, ')}{given}" if field else item["msg"]
    return str(error).splitlines()[0]
