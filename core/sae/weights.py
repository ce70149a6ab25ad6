"""Reading an autoencoder's files, whoever wrote them: what is missing or does not fit is named with its file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from core.errors import BadInput


@dataclass(frozen=True)
class Weights:
    """The tensors of one file."""

    path: Path
    tensors: Mapping[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> "Weights":
        """Read a .safetensors or .npz file.

        Raises:
            BadInput: it is not there, or is damaged.
        """
        try:
            if path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as arrays:
                    return cls(path, {name: torch.from_numpy(arrays[name]) for name in arrays.files})
            return cls(path, load_file(path))
        except (OSError, ValueError, SafetensorError) as error:
            raise BadInput(f"{path}: cannot be read ({error})") from error

    def get(self, name: str, shape: tuple[int, ...] | None = None, told_by: str = "") -> Tensor:
        """A tensor in float32, not mapped to the file any more.

        Raises:
            BadInput: it is missing, holds NaN or no floating-point numbers, or has another shape than `told_by` says.
        """
        if name not in self.tensors:
            raise BadInput(f"{self.path}: tensor {name!r} is missing; it has {', '.join(sorted(self.tensors))}")
        tensor = self.tensors[name]
        if not tensor.is_floating_point():
            raise BadInput(f"{self.path}: {name} holds {tensor.dtype}; weights are floating-point numbers")
        if shape is not None and tuple(tensor.shape) != shape:
            raise BadInput(f"{self.path}: {name} is {list(tensor.shape)}, {told_by} says {list(shape)}")
        numbers = tensor.to(torch.float32, copy=True)
        if numbers.isnan().any():
            raise BadInput(f"{self.path}: {name} holds NaN; the file is damaged, or its training diverged")
        return numbers


def read_config(path: Path, *keys: str) -> dict[str, Any]:
    """A JSON object that has these keys.

    Raises:
        BadInput: it is not there, no JSON, or lacks one of them.
    """
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadInput(f"{path}: not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise BadInput(f"{path}: holds {type(config).__name__}, not an object of keys and values")
    missing = [key for key in keys if key not in config]
    if missing:
        raise BadInput(f"{path}: key {missing[0]!r} is missing")
    return config
