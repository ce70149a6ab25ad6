"""New folders that are there once they are whole, and never in place of something else."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import BadInput


def refuse_filled(folder: Path) -> None:
    """Let nothing be overwritten.

    Raises:
        BadInput: the place is a file, or a folder that holds something.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        raise BadInput(f"{folder}: is there already; name a new folder, or an empty one")


@contextmanager
def renamed_into(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, which it becomes if the block ends well, and is gone if not."""
    staged = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        yield staged
        staged.rename(folder)  # refuses a folder that was filled meanwhile
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
