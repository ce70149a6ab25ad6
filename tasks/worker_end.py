"""What a SLURM job's Dask worker does last, as a Dask preload: a worker that closed ends its process.

A worker may have closed while asyncio waits for ever for a task that will not be cancelled.
The job would then hold its GPU until the walltime.
"""

import os
import threading
from typing import Any

GRACE_S = 30.0
"""Dask itself waits this long for what is under way when a worker closes."""


def dask_teardown(worker: Any) -> None:
    """Called by Dask when the worker closes: end the process soon, whatever still waits in it."""
    ending = threading.Timer(GRACE_S, os._exit, (0,))
    ending.daemon = True  # a process that ends by itself is not kept for it
    ending.start()
