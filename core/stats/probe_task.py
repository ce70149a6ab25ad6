"""What a probe is asked to read: rows, a column of labels, and which rows belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.model_selection import StratifiedGroupKFold

from core.errors import BadInput
from core.stats.probes import MIN_OUT

PARTS = ("train", "test")
_FOLDS = 3


@dataclass(frozen=True, eq=False)
class ProbeTask:
    """Rows and a column of labels, whatever it is of.

    `x` [n, D] are rows of a stream or activations of features (numpy or torch); `labels` [n] are words, numbers of
    classes or true and false, null where a row has none. `images` [n] are what rows belong to: rows of one image stay
    on one side, and are resampled and shuffled together (null: each row is its own). `words` [n] are word types, for
    the control task. `split` [n] says `train` or `test`; without it a third of the images is tested, classes balanced.
    """

    x: Any
    labels: Sequence[Any]
    images: Sequence[Any] | None = None
    words: Sequence[Any] | None = None
    split: Sequence[str] | None = None


@dataclass(frozen=True)
class Side:
    """Rows of one side: `codes` are classes by number, `units` images by number, `words` word types by number."""

    x: Float[np.ndarray, "n D"]
    codes: Int[np.ndarray, " n"]
    units: Int[np.ndarray, " n"]
    words: Int[np.ndarray, " n"] | None


@dataclass(frozen=True)
class Sides:
    """A task in its two sides; `left_out` are classes of fewer than 5 images on one of them."""

    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    train: Side
    test: Side


def split_task(task: ProbeTask, seed: int) -> Sides:
    """Sort a task's rows into two sides, no image on both.

    Raises:
        BadInput: the columns differ in length, the labels are no classes, an image is on both sides, or fewer than two
            classes have 5 images on each side.
    """
    x, columns = _columns(task)
    known = np.array([label is not None for label in task.labels], dtype=bool)
    names, codes = np.unique([str(label) for label in np.array(task.labels, dtype=object)[known]], return_inverse=True)
    columns = {name: column[known] for name, column in columns.items()}
    tested = _tested(columns, codes, seed)
    kept = [code for code in range(len(names)) if _images(columns, (codes == code), tested) >= MIN_OUT]
    if len(kept) < 2:
        told = f"{len(names)} classes, {len(kept)} of them with {MIN_OUT} images on each side"
        raise BadInput(f"probe: the labels have {told}; give a column with at least two")
    numbers = np.searchsorted(kept, codes)
    chosen = np.isin(codes, kept)
    sides = [_side(x[known], numbers, columns, chosen & part) for part in (~tested, tested)]
    left_out = tuple(str(name) for code, name in enumerate(names) if code not in kept)
    return Sides(tuple(str(names[code]) for code in kept), left_out, *sides)


def _columns(task: ProbeTask) -> tuple[Float[np.ndarray, "n D"], dict[str, np.ndarray]]:
    x = np.asarray(task.x.detach().cpu().float() if hasattr(task.x, "detach") else task.x, dtype=np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise BadInput(f"probe: x is {list(x.shape)}; give finite rows [n, D]")
    if any(isinstance(label, float) and not label.is_integer() for label in task.labels):
        raise BadInput("probe: the labels are measures, not classes; cut them into classes first")
    given = {"labels": task.labels, "images": task.images, "words": task.words, "split": task.split}
    for name, column in given.items():
        if column is not None and len(column) != len(x):
            raise BadInput(f"probe: {name} has {len(column)} entries for {len(x)} rows")
    numbered = {
        name: _numbered(name, column)
        for name, column in given.items()
        if column is not None and name in ("images", "words")
    }
    if task.split is not None:
        if other := sorted(set(task.split) - set(PARTS)):
            raise BadInput(f"probe: split holds {other[0]!r}; write train or test")
        numbered["split"] = np.array([part == "test" for part in task.split])
    return x, {"images": np.arange(len(x)), **numbered}


def _numbered(name: str, column: Sequence[Any]) -> Int[np.ndarray, " n"]:
    if any(value is None for value in column):
        raise BadInput(f"probe: {name} has rows without a value; leave the column out, or fill them")
    return np.unique(np.asarray(column), return_inverse=True)[1]


def _tested(columns: dict[str, np.ndarray], codes: Int[np.ndarray, " n"], seed: int) -> np.ndarray:
    """Which rows are of the test side."""
    images = columns["images"]
    if "split" in columns:
        tested = columns["split"].astype(bool)
        if both := set(images[tested]) & set(images[~tested]):
            raise BadInput(f"probe: {len(both)} images have rows on both sides of split; keep an image on one")
        return tested
    if len(np.unique(images)) < _FOLDS or (len(codes) and np.bincount(codes).max() < _FOLDS):
        raise BadInput(f"probe: {len(np.unique(images))} images of classes too small to split; give more rows")
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    _, places = next(iter(folds.split(codes, codes, images)))
    return np.isin(np.arange(len(codes)), places)


def _images(columns: dict[str, np.ndarray], of_class: np.ndarray, tested: np.ndarray) -> int:
    """Images of a class on the side that has fewer."""
    return min(len(np.unique(columns["images"][of_class & part])) for part in (tested, ~tested))


def _side(
    x: Float[np.ndarray, "n D"], codes: Int[np.ndarray, " n"], columns: dict[str, np.ndarray], rows: np.ndarray
) -> Side:
    words = columns["words"][rows] if "words" in columns else None
    return Side(x[rows], codes[rows], np.unique(columns["images"][rows], return_inverse=True)[1], words)
