"""The front door: the `saeflow` command."""

import os

# Polars and OpenBLAS read these when they are first imported. With several threads they add up in any order, and a
# resumed study would differ from an undisturbed one in its last bits.
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
os.environ.update(ONE_THREAD)
# Libraries' own progress bars would be written across the live table, which tells of the same work.
os.environ.setdefault("TQDM_DISABLE", "1")
