"""Where a feature is active, whatever the layout on disk: what every back end answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt

from core.errors import BadInput, first_line

Activations = tuple[UInt[np.ndarray, " n"], Float[np.ndarray, " n"]]
"""The rows that a feature is active in, ascending, and its activations there (float32, above 0)."""


class ActivationLoader(Protocol):
    """A store of activations, one feature at a time."""

    def is_available(self) -> bool:
        """Whether the files of its layout are there; their content is looked at when it is read."""

    def load(self, feature_id: int, /) -> Activations | None:
        """Where a feature is active; null where the store has no such feature.

        Raises:
            BadInput: the store is not available, or a file of it is damaged.
        """


@contextmanager
def told(path: Path, fix: str) -> Iterator[None]:
    """Turn what libraries raise at a missing or damaged file into `BadInput`, with the way to make it again."""
    try:
        yield
    except BadInput:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:  # zarr's codecs: RuntimeError
        raise BadInput(f"{path}: cannot be read ({first_line(error)}); {fix}") from error


def sparse(dense: Float[np.ndarray, " T"]) -> Activations:
    """A feature's activations over all rows as rows and values; what is not above 0 is no activation."""
    rows = np.flatnonzero(dense > 0)
    return rows.astype(np.uint32), np.ascontiguousarray(dense[rows], np.float32)
