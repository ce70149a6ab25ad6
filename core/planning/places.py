"""Where a study's paths lead: a relative one is tried below several folders in turn."""

from collections.abc import Sequence
from pathlib import Path

from core.errors import BadInput

ANYWHERE = (Path("/"),)
"""Where an absolute path is looked up; a study whose places are pinned has no other."""


def find_first(name: str, bases: Sequence[Path], field: str) -> Path:
    """What `name` means: below the first of `bases` that has it.

    Raises:
        BadInput: none has; the message names `field`.
    """
    for base in bases:
        path = base / Path(name).expanduser()
        if _exists(path):
            # The last link stays: a table is found by its own name, its pictures beside it.
            return path.parent.resolve() / path.name
    places = ", ".join(dict.fromkeys(str(base) for base in bases))
    fix = "give the path from the folder of the file that names it"
    raise BadInput(f"{field}: {name!r} does not exist (looked below {places}); {fix}")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or in a folder that may not be entered
        return False
