"""Back ends of installed packages."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.entry_points import NAME_FAULT, Registered, is_name, load, points
from core.errors import BadInput, first_line
from core.features.backends.loader import Activations

GROUP = "saeflow.backends"
"""The entry points by which a package registers a back end: each names a function of a folder that returns an
`ActivationLoader`, such as its class."""
OWN = ("csc", "sparse-files", "zarr", "batch-scan")
"""The back ends of saeflow itself, the fastest first."""


@dataclass(frozen=True)
class Installed:
    """A package's back end on a folder: what its code raises, or gives that is no activation, is told in one line."""

    name: str
    package: str
    folder: Path
    opened: Any

    def is_available(self) -> bool:
        """Whether the files of its layout are there."""
        return bool(self._ask("is_available"))

    def shape(self) -> tuple[int | None, int | None]:
        """Features and rows, where the loader has such a method; it need not."""
        if not callable(getattr(self.opened, "shape", None)):
            return None, None
        features, rows = self._ask("shape")
        return features, rows

    def load(self, feature_id: int, /) -> Activations | None:
        """Where a feature is active; null where the store has no such feature.

        Raises:
            BadInput: the package's code fails, or what it gives is no pair of rows and values.
        """
        found = self._ask("load", feature_id)
        if found is None:
            return None
        try:
            rows, values = (np.asarray(part) for part in found)
            fits = (
                rows.ndim == 1 and rows.shape == values.shape and rows.dtype.kind in "iu" and bool((values > 0).all())
            )
        except (ValueError, TypeError):
            fits = False
        if not fits:
            raise self._told(f"gives for feature {feature_id} no row numbers with as many activations above 0")
        return rows.astype(np.uint32), values.astype(np.float32)

    def _ask(self, method: str, *arguments: int) -> Any:
        try:
            return getattr(self.opened, method)(*arguments)
        except BadInput:
            raise
        except Exception as error:  # whatever the package's code raises
            raise self._told(f"fails ({type(error).__name__}: {first_line(error)})") from error

    def _told(self, what: str) -> BadInput:
        return BadInput(f"back end {self.name} of {self.package}: {what} on {self.folder}; correct or uninstall it")


def installed(folder: Path) -> Iterator[Installed]:
    """The back ends of packages that read `folder`, by name.

    Raises:
        BadInput: one cannot be imported or fails on the folder, is no back end, or has a name that another has.
    """
    seen: dict[str, str] = dict.fromkeys(OWN, "saeflow")
    for point in points(GROUP):
        opened = _open(load(point, "back end"), Registered.of(point), folder)
        if point.name in seen:
            raise BadInput(
                f"back end {point.name}: {opened.package} registers a name that {seen[point.name]} has; uninstall one "
                "of them, or rename its entry point"
            )
        seen[point.name] = opened.package
        if opened.is_available():
            yield opened


def _open(make: Any, registered: Registered, folder: Path) -> Installed:
    if not is_name(registered.name):
        raise BadInput(f"back end {registered}: {NAME_FAULT}")
    if not callable(make):
        raise BadInput(f"back end {registered}: is a {type(make).__name__}; it must take a folder and return a loader")
    try:
        loader = make(folder)
    except Exception as error:  # whatever the package's code raises
        said = f"{type(error).__name__}: {first_line(error)}"
        raise BadInput(f"back end {registered}: fails on {folder} ({said}); correct or uninstall it") from error
    missing = [word for word in ("is_available", "load") if not callable(getattr(loader, word, None))]
    if missing:
        raise BadInput(f"back end {registered}: its loader has no {missing[0]}(); it needs is_available and load")
    return Installed(registered.name, registered.package, folder, loader)
