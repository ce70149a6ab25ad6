"""Which layouts lie in a folder, the fastest first, and whether those of several folders are of one store."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from core.errors import BadInput
from core.features.backends.batch_files import BatchFiles
from core.features.backends.card import read_card
from core.features.backends.csc import CscColumns
from core.features.backends.loader import ActivationLoader
from core.features.backends.packages import installed
from core.features.backends.sparse_files import SparseFiles
from core.features.backends.transposed_zarr import TransposedZarr

LayoutName = Literal["csc", "sparse-files", "zarr", "batch-scan"]
TRANSPOSED = "transposed_activations.zarr"
"""What the array is called in a folder of its own."""


@runtime_checkable
class Shaped(ActivationLoader, Protocol):
    """A back end that knows its size, as all of saeflow's do."""

    def shape(self) -> tuple[int | None, int | None]:
        """Features and rows, null where the files do not say.

        Raises:
            BadInput: a file is damaged.
        """


@dataclass(frozen=True)
class Layout:
    """A layout that was found: the back end that reads it, by name, and where it lies.

    `features` and `rows` are null where its files do not say; `origin` is that of its card.
    """

    backend: str
    place: Path
    loader: ActivationLoader
    features: int | None = None
    rows: int | None = None
    origin: Mapping[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.backend} in {self.place}"


def _zarr_place(folder: Path) -> Path:
    """The array of a folder, or the folder where it is the array itself."""
    return folder / TRANSPOSED if (folder / TRANSPOSED).is_dir() else folder


_OWN: Mapping[LayoutName, Callable[[Path], Shaped]] = {
    "csc": CscColumns,
    "sparse-files": SparseFiles,
    "zarr": lambda folder: TransposedZarr(_zarr_place(folder)),
    "batch-scan": BatchFiles,
}
_SPEED: Mapping[str, int] = {name: place for place, name in enumerate(_OWN)}


def own_layouts(folder: Path) -> list[Layout]:
    """What lies in a folder in saeflow's own layouts, the fastest first; files are only looked for."""
    opened = ((name, make(folder)) for name, make in _OWN.items())
    return [Layout(name, folder, loader) for name, loader in opened if loader.is_available()]


def package_layouts(folder: Path) -> list[Layout]:
    """What lies in a folder in the layouts of installed packages, by name.

    Raises:
        BadInput: a package's back end is broken.
    """
    return [Layout(found.name, folder, found) for found in installed(folder)]


def speed(layout: Layout) -> int:
    """The place of a layout among others: the fastest first, packages' before the scan of batches."""
    return _SPEED.get(layout.backend, _SPEED["batch-scan"]) * 2 - (layout.backend not in _SPEED)


def measured(layout: Layout) -> Layout:
    """The layout with what its files say of its size and origin.

    Raises:
        BadInput: a file is damaged.
    """
    card = read_card(layout.place)
    features, rows = layout.loader.shape() if isinstance(layout.loader, Shaped) else (None, None)
    return replace(layout, features=features, rows=rows, origin=card.origin if card else None)


def refuse_mixture(found: Iterable[Layout]) -> None:
    """Make sure that layouts are of one store.

    Raises:
        BadInput: they differ in features, rows or origin, where both say it.
    """
    for one, other in combinations(found, 2):
        for what in ("features", "rows"):
            left, right = getattr(one, what), getattr(other, what)
            if None not in (left, right) and left != right:
                raise BadInput(f"{other}: has {right:,} {what}, and {one} has {left:,}; name folders of one SAE")
        if one.origin and other.origin and one.origin != other.origin:
            raise BadInput(f"{other}: is {_said(other)}, and {one} is {_said(one)}; name folders of one SAE")


def _said(layout: Layout) -> str:
    return "of " + ", ".join(f"{name} {value}" for name, value in sorted((layout.origin or {}).items()))
