"""A SLURM job's Dask worker: `python -m flows.slurm.worker SCHEDULER …`, Dask's own command with its own defaults."""

import sys

from core.analysis.registry import declared
from core.errors import BadInput
from flows.runtime.environment import neutral_dask, settle_in_job


def main() -> None:
    """Run `dask worker` without what ~/.config/dask and /etc/dask of the node say."""
    settle_in_job()
    neutral_dask()
    _check_packages()
    from distributed.cli.dask_worker import main as dask_worker

    dask_worker()


def _check_packages() -> None:
    """End now where a package's analysis cannot be imported: a worker that cannot read a unit is lost without a word,
    and a job that ends at once has its last lines told."""
    try:
        declared()
    except BadInput as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
