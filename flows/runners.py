"""Task runners from a cluster profile: threads, a Dask LocalCluster; SLURM takes its seat here."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import BadInput


class Pool(BaseModel):
    """The workers of one kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    workers: Annotated[int, Field(ge=1)] = 2
    """Units worked on at once."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads a unit; it decides the order of sums, so keep it fixed to repeat a study bit for bit."""


class Profile(BaseModel):
    """A cluster profile: two pools of workers."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["threads", "local"]
    """`threads`: this process. `local`: worker processes on this machine (Dask)."""
    cpu: Pool = Pool()
    """Workers of steps that need no GPU."""
    gpu: Pool = Pool()
    """Workers of steps that use a GPU where there is one."""

    def pool(self, needs: str) -> Pool:
        """The pool that a step of this need runs on."""
        return self.gpu if needs == "gpu" else self.cpu


def load_profile(path: Path) -> Profile:
    """Read a cluster profile.

    Raises:
        BadInput: the file is no profile; the message names the field.
    """
    try:
        return Profile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise BadInput(f"{path.name}: not a cluster profile: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        item = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
    return str(error).splitlines()[0]


def task_runner(profile: Profile, needs: str, missing: int) -> TaskRunner[Any]:
    """The runner of a stage with `missing` units to make; none missing starts no cluster."""
    pool = profile.pool(needs)
    if profile.kind == "threads" or missing == 0:
        return ThreadPoolTaskRunner(max_workers=pool.workers if missing else 8)
    from prefect_dask import DaskTaskRunner

    # A neutral start: a user's own `core/` in the working directory must not shadow ours in the workers.
    arguments = {"n_workers": min(pool.workers, missing), "threads_per_worker": 1, "dashboard_address": None}
    runner: TaskRunner[Any] = DaskTaskRunner(cluster_class="distributed.LocalCluster", cluster_kwargs=arguments)
    return runner
