"""Everything that lies outside a study: one table of its kinds, located and hashed in one pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.planning.data_source import pin_data, read_data
from core.planning.located import Reader, Sources
from core.planning.model_source import pin_model, read_model
from core.planning.precomputed_source import pin_precomputed, read_precomputed
from core.planning.sae_sources import pin_saes, read_saes
from core.planning.study import Study


@dataclass(frozen=True)
class SourceKind:
    """One kind of source: `pin` gives the study absolute places, `read` adds what lies there."""

    pin: Callable[[Study, Sequence[Path]], Study]
    read: Callable[[Study, Sources, Reader], Sources]


KINDS = (
    SourceKind(pin_data, read_data),
    SourceKind(pin_model, read_model),
    SourceKind(pin_precomputed, read_precomputed),
    SourceKind(pin_saes, read_saes),
)
"""In the order in which they are read: SAEs are looked for by the model's layers."""


def pin(study: Study, bases: Sequence[Path]) -> Study:
    """The study with absolute places instead of relative ones, so that it means the same wherever it is read; a
    relative place is tried below each of `bases` in turn.

    Raises:
        BadInput: something is nowhere.
    """
    for kind in KINDS:
        study = kind.pin(study, bases)
    return study


def read_sources(study: Study, reader: Reader) -> Sources:
    """Hash everything outside a pinned study that decides its result.

    Raises:
        BadInput: a file is missing or damaged, or the model's folder holds no weights.
    """
    found = Sources("", "")
    for kind in KINDS:
        found = kind.read(study, found, reader)
    return found
