"""A checkpoint's tensors as its files' headers name them, compared with what the model expects; loads no torch."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BadInput
from core.lm.shape import indexed_tensors, weight_files
from core.lm.tensor_header import TensorEntry, read_header

_WRAPPERS = ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
"""What torch.compile, DataParallel, FSDP, activation checkpointing and Lightning put before a module's own name."""
_WRAPPED = re.compile(rf"(?:(?<=\.)|^)(?:{'|'.join(_WRAPPERS)})\.")
_FLOATS = ("F64", "F32", "F16", "BF16")
_COMPUTED = re.compile(r"(^|\.)(rotary_emb\.inv_freq|position_ids)$")
"""Buffers that older versions stored, and that are computed from config.json today."""
_BUFFER = re.compile(r"(^|\.)(num_batches_tracked|relative_position_index|\w*mask|\w*_ids|(attn|attention)\.bias)$")
"""Buffers of whole numbers or of yes and no; `attn.bias` of GPT-2 is a mask too."""
_SHOWN = 4


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a checkpoint: where they lie, and what their wrapped names are without the wrappers' parts.

    `renamed` has an entry for each stored name that a wrapper is part of.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...]
    renamed: Mapping[str, str]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how the checkpoint is read, a sentence each."""
        if not self.renamed:
            return ()
        parts = {found for name in self.renamed for found in _WRAPPED.findall(name)}
        return (f"the prefix {' and '.join(sorted(parts))} of {_counted(self.renamed)} is left out",)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the names, types and shapes of a checkpoint's tensors, without the tensors.

    Raises:
        BadInput: the weights are missing, damaged, incomplete, quantised, or two tensors come to one name.
    """
    files = weight_files(folder)
    headers = {path.relative_to(folder).as_posix(): _header(folder, path) for path in files}
    _compare_with_index(folder, headers)
    stored: dict[str, TensorEntry] = {}
    for header in headers.values():
        if twice := stored.keys() & header.keys():
            raise BadInput(f"model {folder}: two weight files hold {listed(twice)}; download them again")
        stored |= header
    packed = {name for name, entry in stored.items() if entry.dtype not in _FLOATS and not _BUFFER.search(name)}
    if packed:
        kinds = ", ".join(sorted({stored[name].dtype for name in packed}))
        raise BadInput(
            f"model {folder}: its weights are quantised ({kinds}: {listed(packed)}), which is not read here; take the "
            "checkpoint that is not, or save it dequantised"
        )
    return Checkpoint(tuple(files), tuple(stored), _without_wrappers(folder, stored))


def refuse_differences(
    place: str, missing: Collection[str], unexpected: Collection[str], mismatched: Sequence[tuple[str, Any, Any]]
) -> None:
    """Refuse a checkpoint that is not the model which its config.json describes.

    Args:
        place: the checkpoint's folder or package, for the message.
        missing: tensors of the model that the checkpoint lacks.
        unexpected: tensors of the checkpoint that the model has no place for.
        mismatched: tensors of another shape, each as (name, shape stored, shape expected).

    Raises:
        BadInput: there are any; they are named.
    """
    faults = []
    unexpected = [name for name in unexpected if not _COMPUTED.search(name)]
    if missing:
        faults.append(f"{_counted(missing)} missing ({listed(missing)})")
    if unexpected:
        faults.append(f"{_counted(unexpected)} unexpected ({listed(unexpected)})")
    if mismatched:
        shapes = [f"{name} is {list(stored)}, not {list(own)}" for name, stored, own in sorted(mismatched)]
        faults.append(f"{_counted(mismatched)} of another shape ({listed(shapes)})")
    if not faults:
        return
    fix = "download it again, or correct config.json: it must describe the model that was saved"
    if any(re.search(r"\blora_|\bmodules_to_save\b", name) for name in unexpected):
        fix = "an adapter (LoRA) was saved unmerged: save the merged model (`merge_and_unload()`)"
    raise BadInput(f"model {place}: {'; '.join(faults)}; {fix}")


def _header(folder: Path, path: Path) -> Mapping[str, TensorEntry]:
    try:
        return read_header(path)[0]
    except OSError as error:
        raise BadInput(f"model {folder}: {path.name} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadInput(f"model {folder}: {path.name} {_damage(path)}") from error


def _damage(path: Path) -> str:
    with path.open("rb") as file:
        begins = file.read(64)
    if begins.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the weights; `git lfs pull` fetches them"
    return f"is damaged or incomplete ({path.stat().st_size:,} bytes); download it again"


def _compare_with_index(folder: Path, headers: Mapping[str, Mapping[str, TensorEntry]]) -> None:
    """Tensors that the index promises must be in the file that it names."""
    index = indexed_tensors(folder)
    absent = {f"{name} in {file}" for name, file in index.items() if name not in headers[Path(file).as_posix()]}
    if absent:
        raise BadInput(
            f"model {folder}: {_counted(absent)} of the index not there ({listed(absent)}); download them again"
        )


def _without_wrappers(folder: Path, stored: Collection[str]) -> dict[str, str]:
    plain = {name: _WRAPPED.sub("", name) for name in stored}
    renamed = {name: own for name, own in plain.items() if own != name}
    owners: dict[str, str] = {}
    for name, own in plain.items():
        if own in owners:
            raise BadInput(f"model {folder}: {owners[own]} and {name} are one tensor's names; keep the right one")
        owners[own] = name
    return renamed


def _counted(names: Collection[Any]) -> str:
    return f"{len(names)} tensor{'s' if len(names) != 1 else ''}"


def listed(names: Collection[str]) -> str:
    """A few of the names, and how many more there are."""
    shown = sorted(names)
    more = f", and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
