"""How a SLURM job's Dask worker ends, as a Dask preload: with its job, whatever still waits in it.

A worker may have closed, or been cancelled by SLURM's signal, while asyncio waits for ever for a task that will not be
cancelled. It would then hold its GPU until the walltime, or, where SLURM follows processes by their parents, beyond it.
"""

import os
import threading
import time
from typing import Any

GRACE_S = 30.0
"""Dask itself waits this long for what is under way when a worker closes."""


def dask_setup(worker: Any) -> None:
    """Called by Dask as the worker starts: watch over what started it, the job's script or Dask's nanny in it."""
    threading.Thread(target=_end_after, args=(os.getppid(),), daemon=True).start()


def dask_teardown(worker: Any) -> None:
    """Called by Dask when the worker closes: end the process soon."""
    ending = threading.Timer(GRACE_S, os._exit, (0,))
    ending.daemon = True  # a process that ends by itself is not kept for it
    ending.start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    time.sleep(GRACE_S)
    os._exit(1)
