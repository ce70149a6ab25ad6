"""Repositories in the hub's local cache, whole or in parts: `hf download --include` leaves a part of a snapshot."""

import re
from collections.abc import Iterator
from pathlib import Path

from core.errors import BadInput

_NAME = re.compile(r"^(?:[\w.-]+/)?[\w.-]+(?:@[\w./-]+)?$")


def is_hub_name(name: str) -> bool:
    """Whether it reads as `NAME`, `OWNER/NAME` or `OWNER/NAME@REVISION`."""
    return _NAME.match(name) is not None and not name.startswith((".", "/"))


def split_place(place: str) -> tuple[str, str]:
    """`OWNER/REPO[@REVISION]/PATH` as repository and path; a revision holds no slash here.

    Raises:
        BadInput: it names no owner and repository.
    """
    parts = place.strip("/").split("/")
    if len(parts) < 2 or not is_hub_name("/".join(parts[:2])):
        raise BadInput(f"hub:{place}: write hub:OWNER/REPO/PATH, or hub:OWNER/REPO@REVISION/PATH")
    return "/".join(parts[:2]), "/".join(parts[2:])


def snapshots(name: str) -> list[Path]:
    """The snapshots of `OWNER/NAME[@REVISION]` that the cache holds something of, the best first.

    With a revision (a branch, a tag or a commit's first digits) that one alone; else the one that `refs/main` names,
    then the others, the latest first.
    """
    repository, _, revision = name.partition("@")
    folder = _cache() / f"models--{repository.replace('/', '--')}"
    there = _folders(folder / "snapshots")
    if revision:
        commit = _ref(folder, revision) or revision
        return [path for path in there if path.name.startswith(commit)]
    main = _ref(folder, "main")
    return sorted(there, key=lambda path: path.name != main)


def hub_name(place: Path) -> str | None:
    """`OWNER/NAME` of the repository whose snapshot holds this place; null where it is in none."""
    for part in reversed(place.parts):
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/")
    return None


def _cache() -> Path:
    from huggingface_hub import constants  # half a second, and only for hub names

    return Path(constants.HF_HUB_CACHE)


def _ref(folder: Path, revision: str) -> str | None:
    try:
        return (folder / "refs" / revision).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _folders(parent: Path) -> list[Path]:
    """The folders in it, the last changed first."""

    def found() -> Iterator[Path]:
        if parent.is_dir():
            yield from (path for path in parent.iterdir() if path.is_dir())

    return sorted(found(), key=lambda path: (-path.stat().st_mtime_ns, path.name))
