"""The one place that reads pickles, and of these only tensors, numbers, text and collections of them.

`torch.load(weights_only=True)` calls nothing that a pickle names but what is listed there; numpy's numbers and arrays
are added, for tables' columns come as such. What else a file needs is named, not loaded.
"""

import re
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray

from core.errors import BadInput, first_line

_NUMBERS = "?bBhHiIlLqQefdgFDGU"
_NUMPY: list[Any] = [
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in _NUMBERS},
    *((function, f"numpy.{core}.multiarray.{function.__name__}")
      for function in (multiarray._reconstruct, multiarray.scalar)
      for core in ("core", "_core")),
]  # fmt: skip
_NAMED = re.compile(r"(?:GLOBAL|global|but got <class) '?([\w.]+)")


def load_pickle(path: Path) -> Any:
    """What the file holds, tensors on the CPU and, where its format lets them, still on the disk.

    Raises:
        BadInput: it is missing, damaged, no file of torch.save, or needs a class or function of its own.
    """
    try:
        with torch.serialization.safe_globals(_NUMPY), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of newer pickle protocols, which end in an error or do not matter
            return _load(path)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: does not exist") from error
    except UnpicklingError as error:
        named = _NAMED.search(str(error))
        if named is None:
            reason = str(error).rpartition("WeightsUnpickler error:")[2].strip() or "empty"
            raise BadInput(f"{path}: no file of torch.save, or damaged ({reason.splitlines()[0]})") from error
        raise BadInput(
            f"{path}: its pickle needs {named[1]}, which is never loaded; where that is at hand, save plain values "
            "again: the state_dict, and each settings object as vars(object)"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise BadInput(f"{path}: cannot be read as a file of torch.save ({first_line(error)})") from error


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)  # from before torch 1.6, no zip
