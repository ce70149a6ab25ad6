"""Two files a feature, `neuron_0000/idxs.npy` and `neuron_0000/acts.npy`: rows and activations, as older scripts have
them."""

from pathlib import Path

import numpy as np

from core.errors import BadInput
from core.features.backends.card import read_card
from core.features.backends.loader import ActivationLoader, Activations, told
from core.progress import Progress, silent

_FIX = "write the two files of this feature again"


class SparseFiles:
    """A folder of folders `neuron_0000`, …, one per feature; a feature that never fires has two empty files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def is_available(self) -> bool:
        """Whether there is the folder of any feature."""
        return self.folder.is_dir() and any(self.folder.glob("neuron_[0-9]*"))

    def shape(self) -> tuple[int | None, int | None]:
        """Features and rows; both null where no card says them, for features can be left out."""
        card = read_card(self.folder)
        return (card.features, card.rows) if card else (None, None)

    def highest(self) -> int:
        """The highest number of a feature that has a folder; -1 where none has."""
        names = (path.name.removeprefix("neuron_") for path in self.folder.glob("neuron_[0-9]*"))
        return max((int(name) for name in names if name.isdecimal()), default=-1)

    def load(self, feature_id: int, /) -> Activations | None:
        """A feature's rows and values in memory; null where it has no folder.

        Raises:
            BadInput: a file is missing or damaged, the two do not fit, or an activation is not above 0.
        """
        place = folder_of(self.folder, feature_id)
        if feature_id < 0 or not place.is_dir():
            return None
        with told(place, _FIX):
            rows = np.load(place / "idxs.npy", allow_pickle=False)
            values = np.load(place / "acts.npy", allow_pickle=False)
        if rows.ndim != 1 or rows.shape != values.shape or rows.dtype.kind not in "iu":
            raise BadInput(f"{place}: idxs {rows.dtype}{list(rows.shape)} do not fit acts {list(values.shape)}; {_FIX}")
        if not (np.isfinite(values).all() and (values >= 0).all() and (rows >= 0).all()):
            raise BadInput(f"{place}: holds a negative row, or an activation that is negative, NaN or Inf; {_FIX}")
        order = np.argsort(rows, kind="stable")
        order = order[values[order] > 0]
        return rows[order].astype(np.uint32), values[order].astype(np.float32)


def folder_of(folder: Path, feature_id: int) -> Path:
    """Where a feature's two files lie."""
    return folder / f"neuron_{feature_id:04d}"


def write_sparse_files(source: ActivationLoader, num_features: int, folder: Path, progress: Progress = silent) -> int:
    """Write the features 0 … `num_features` − 1 of another store; those that are there already stay.

    A feature's folder is renamed into place when both files are whole, so that a run that was ended goes on.

    Returns:
        How many were written.
    """
    written = 0
    for feature_id in range(num_features):
        place = folder_of(folder, feature_id)
        found = None if place.is_dir() else source.load(feature_id)
        if found is not None:
            part = place.with_name(f".{place.name}.part")
            part.mkdir(parents=True, exist_ok=True)
            np.save(part / "idxs.npy", np.asarray(found[0], np.uint32))
            np.save(part / "acts.npy", np.asarray(found[1], np.float32))
            part.rename(place)
            written += 1
        progress(feature_id + 1, num_features)
    return written
