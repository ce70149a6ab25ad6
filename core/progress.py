"""How long work tells how far it is, and how it is told to stop."""

from typing import Protocol


class Progress(Protocol):
    """Called between two portions of work with what is done; raises `Stopped` to end the work early."""

    def __call__(self, done: int, total: int, metrics: dict[str, float] | None = None) -> None:
        """Report `done` of `total` portions, with the metrics of the moment by name."""


class Stopped(Exception):
    """The work was asked to stop; what it checkpointed stays."""


def silent(done: int, total: int, metrics: dict[str, float] | None = None) -> None:
    """A `Progress` that nobody listens to."""
