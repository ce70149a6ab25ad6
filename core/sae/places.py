"""Where someone else's autoencoder lies: a folder, a pattern that one folder matches, or the hub's local cache."""

import re
from collections.abc import Sequence
from pathlib import Path

from core.errors import BadInput
from core.lm.hub import snapshots, split_place
from core.sae.configs import PICKLES, SPARSITY
from core.store.hashes import HashMemo

HUB = "hub:"
"""Begins the place of a repository: `hub:OWNER/REPO[@REVISION]/PATH`."""
_FILES = ("*.safetensors", "*.npz", "*.json")
_PATTERN = re.compile(r"[*?]")


def sae_folder(field: str, place: str) -> Path:
    """The folder that `place` means; `field` opens the error message.

    Raises:
        BadInput: there is none, several match, or it is a file.
    """
    folder = _meant(field, place)
    if folder.is_file():
        fix = f"`saeflow import-sae {folder} NEW_FOLDER` rewrites it" if folder.suffix in PICKLES else "name its folder"
        raise BadInput(f"{field}: {folder} is a file; {fix}")
    if not folder.is_dir():
        raise BadInput(f"{field}: {folder} does not exist")
    return folder


def content(folder: Path, memo: HashMemo) -> str:
    """One hash over the names and contents of an autoencoder's files."""
    return memo.sha256_all(sorted(path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()))


def _meant(field: str, place: str) -> Path:
    if place.startswith(HUB):
        return _cached(field, place.removeprefix(HUB))
    path = Path(place)
    if _PATTERN.search(place) and not path.is_dir():
        return _only(field, place, _matches(Path(path.anchor), path.relative_to(path.anchor).as_posix()))
    return path


def _matches(root: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in root.glob(pattern.replace("[", "[[]")) if path.is_dir())
    except (ValueError, NotImplementedError, OSError) as error:
        raise BadInput(
            f"sae: {pattern[:80]!r} is no pattern of folders ({error}); write * and ? within one name, and one / "
            "between names"
        ) from error


def _only(field: str, place: str, matches: Sequence[Path]) -> Path:
    if not matches:
        raise BadInput(f"{field}: {place}: no folder matches")
    if len(matches) > 1:
        more = f" and {len(matches) - 2} more" if len(matches) > 2 else ""
        names = ", ".join(path.name for path in matches[:2])
        raise BadInput(f"{field}: {place}: {len(matches)} folders match ({names}{more}); narrow it to one")
    return matches[0]


def _cached(field: str, place: str) -> Path:
    """The folder within the first snapshot of its repository that has it: a download may hold a part alone."""
    name, path = split_place(place)
    for snapshot in snapshots(name):
        folders = _matches(snapshot, path) if _PATTERN.search(path) else [snapshot / path]
        if whole := [folder for folder in folders if _whole(folder)]:
            return _only(field, f"{HUB}{place}", whole)
    repository, _, revision = name.partition("@")
    part, at = f"{path}/*" if path else "*", f" --revision {revision}" if revision else ""
    fetch = f"hf download {repository}{at} --include '{part}'"
    raise BadInput(f"{field}: {place} is not in the hub's local cache: `{fetch}` fetches it")


def _whole(folder: Path) -> bool:
    """Whether it has weights, not what is counted beside them alone; a link into the hub's cache that leads nowhere is
    no file."""
    found = (path for pattern in _FILES[:2] for path in folder.glob(pattern) if path.is_file())
    return any(path.name != SPARSITY for path in found)
