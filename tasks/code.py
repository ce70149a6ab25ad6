"""A step's code, loaded where the step runs: a process that sends units to workers, or shows them, needs none of it."""

from collections.abc import Callable
from importlib import import_module
from threading import Lock
from typing import Any

LOADING = Lock()
"""Held while code is loaded: threads that import one package from two ends at once can see it half made."""


def load_code(place: str) -> Callable[..., Any]:
    """The function that `module:name` means, its module imported now."""
    module, _, name = place.partition(":")
    with LOADING:
        found: Callable[..., Any] = getattr(import_module(module), name)
    return found
