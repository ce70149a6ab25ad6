"""A SLURM job's Dask worker: `python -m flows.slurm.worker SCHEDULER …`, Dask's own command with its own defaults."""

from flows.runtime.environment import neutral_dask, settle_in_job


def main() -> None:
    """Run `dask worker` without what ~/.config/dask and /etc/dask of the node say."""
    settle_in_job()
    neutral_dask()
    from distributed.cli.dask_worker import main as dask_worker

    dask_worker()


if __name__ == "__main__":
    main()
