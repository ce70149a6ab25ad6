"""Reading an autoencoder's files, whoever wrote them: what is missing, unread or does not fit is named with its file.

Every tensor must be asked for: one that no reader knows may change what the autoencoder computes.
"""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from core.errors import BadInput
from core.lm.tensor_header import read_header

WRAPPERS = ("_orig_mod.", "module.")
"""What torch.compile and DataParallel put before every name."""
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

_DAMAGE = (zipfile.BadZipFile, zlib.error, SafetensorError)
_FAULTS = (OSError, ValueError, LookupError, EOFError, TypeError, NotImplementedError, *_DAMAGE)


@dataclass(frozen=True)
class Weights:
    """The tensors of one file; `stripped` is what stood before every name."""

    path: Path
    tensors: Mapping[str, Tensor]
    stripped: str = ""
    _asked: set[str] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def of(cls, path: Path, tensors: Mapping[str, Tensor]) -> "Weights":
        """The tensors, their names without the wrappers that all of them share."""
        stripped, plain = "", dict(tensors)
        while wrapper := next((one for one in WRAPPERS if plain and all(name.startswith(one) for name in plain)), ""):
            stripped, plain = stripped + wrapper, {name.removeprefix(wrapper): plain[name] for name in plain}
        return cls(path, plain, stripped)

    @classmethod
    def read(cls, path: Path) -> "Weights":
        """Read a .safetensors or .npz file.

        Raises:
            BadInput: it is not there, or is damaged.
        """
        return cls._of_file(path, _npz_values, load_file)

    @classmethod
    def headers(cls, path: Path) -> "Weights":
        """The same by the file's headers alone: names, shapes and types, no numbers (tensors of the device `meta`).

        Raises:
            BadInput: it is not there, or is damaged.
        """
        return cls._of_file(path, _npz_headers, _safetensors_headers)

    @classmethod
    def _of_file(cls, path: Path, npz: "_Reader", safetensors: "_Reader") -> "Weights":
        try:
            return cls.of(path, npz(path) if path.suffix == ".npz" else safetensors(path))
        except _FAULTS as error:
            raise BadInput(f"{path}: cannot be read ({error}); fetch it again, or save numbers") from error

    def get(self, name: str, shape: tuple[int, ...] | None = None, stated_by: str = "") -> Tensor:
        """A tensor in float32, not mapped to the file any more.

        Raises:
            BadInput: it is missing, holds NaN, Inf or no floating-point numbers, or has another shape than `stated_by`
                says.
        """
        if name not in self.tensors:
            raise BadInput(f"{self.path}: tensor {name!r} is missing; it has {', '.join(sorted(self.tensors))}")
        self._asked.add(name)
        tensor = self.tensors[name]
        if not tensor.is_floating_point():
            raise BadInput(f"{self.path}: {name} holds {tensor.dtype}; weights are floating-point numbers")
        if shape is not None and tuple(tensor.shape) != shape:
            raise BadInput(f"{self.path}: {name} is {list(tensor.shape)}, {stated_by} says {list(shape)}")
        numbers = tensor.to(torch.float32, copy=True)
        if not numbers.is_meta and not numbers.isfinite().all():
            what = "NaN" if numbers.isnan().any() else "Inf"
            raise BadInput(f"{self.path}: {name} holds {what}; the file is damaged, or its training diverged")
        return numbers

    def take_ones(self, name: str) -> None:
        """Pass over a tensor that changes nothing while it is all ones, if it is there.

        Raises:
            BadInput: it is not.
        """
        if name in self.tensors:
            factor = self.get(name)
            if not factor.is_meta and not torch.equal(factor, torch.ones_like(factor)):
                raise BadInput(f"{self.path}: {name} is not all ones; fold it into W_dec, and save without it")

    def pass_over(self, *names: str) -> None:
        """Take these for asked for: they count, or say again what a configuration says."""
        self._asked.update(names)

    def refuse_unread(self) -> None:
        """End of reading.

        Raises:
            BadInput: a tensor was not asked for.
        """
        left = [f"{name} {list(self.tensors[name].shape)}" for name in sorted(set(self.tensors) - self._asked)]
        if left:
            several = f"tensors {', '.join(left)} are" if len(left) > 1 else f"tensor {left[0]} is"
            raise BadInput(f"{self.path}: {several} not read by this kind of SAE; it would compute something else")


_Reader = Callable[[Path], Mapping[str, Tensor]]
Read = Callable[[Path], Weights]
"""How a reader of one layout opens its file: `Weights.read` or `Weights.headers`."""


def _npz_values(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        if isinstance(arrays, np.ndarray):
            raise ValueError("one array (.npy), no archive of them")
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _npz_headers(path: Path) -> dict[str, Tensor]:
    with zipfile.ZipFile(path) as arrays:
        return dict(_npy_header(arrays, name) for name in arrays.namelist())


def _npy_header(arrays: zipfile.ZipFile, name: str) -> tuple[str, Tensor]:
    with arrays.open(name) as array:
        version = np.lib.format.read_magic(array)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(array)
    return name.removesuffix(".npy"), torch.empty(
        shape, dtype=torch.from_numpy(np.empty(0, dtype)).dtype, device="meta"
    )


def _safetensors_headers(path: Path) -> dict[str, Tensor]:
    entries, _ = read_header(path)
    return {
        name: torch.empty(entry.shape, dtype=_DTYPES.get(entry.dtype, torch.int64), device="meta")
        for name, entry in entries.items()
    }
