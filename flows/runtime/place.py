"""Whose workers they are."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A stage of a study in a workspace, after which workers and their logs are named.

    `alive` is the file that the study's flow touches while it lives.
    """

    study: str
    stage: str
    workspace: Path
    flow_run: str = ""
    alive: Path | None = None
