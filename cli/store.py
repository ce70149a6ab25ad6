"""`saeflow verify` and `saeflow gc`: the artefacts against their manifests, and what nobody needs."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from cli.terminal import complain, console
from core.artifacts import Artifact, ArtifactStore
from flows.settings import Settings, read_settings

# Younger things may belong to a run that has not recorded itself yet.
_YOUNG_S = 24 * 3600.0


def verify(
    mend: Annotated[
        bool, typer.Option("--mend", help="Set damaged artefacts aside, so that the next run makes them anew.")
    ] = False,
) -> None:
    """Hash every file of every artefact and compare with its manifest."""
    store = read_settings().workspace.store
    artifacts = list(store)
    shown = track(artifacts, description="verifying", console=console, transient=True)
    damaged = {artifact: faults for artifact in shown if (faults := store.verify(artifact))}
    for artifact, faults in damaged.items():
        for fault in faults:
            complain(fault)
        if mend:
            store.set_aside(artifact)
    if damaged and mend:
        console.print("They are set aside; the next run of their study makes them anew.")
    elif damaged:
        console.print("`saeflow verify --mend` sets them aside; the next run of their study then makes them anew.")
    if damaged:
        raise SystemExit(1)
    console.print(f"[green]✓[/green] {len(artifacts)} artefacts equal their manifests.")


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
    forget: Annotated[
        list[str] | None, typer.Option(help="Forget a study (its key in `saeflow status`) first. May be repeated.")
    ] = None,
) -> None:
    """List, then with --yes remove, what no study refers to; never what is leased or younger than 24 hours."""
    settings = read_settings()
    for key in forget or ():
        _forget(settings, key)
    found = list(_unneeded(settings))
    for path in found:
        console.print(f"  {_size(path) / 1e6:9.1f} MB  {path.relative_to(settings.workspace.root)}", markup=False)
    total = sum(map(_size, found)) / 1e6
    if not found:
        console.print("Nothing to remove.")
    elif not yes:
        console.print(f"{len(found)} folders, {total:.1f} MB; `saeflow gc --yes` removes them.")
    else:
        for path in found:
            shutil.rmtree(path)
        _drop_dangling(settings)
        console.print(f"Removed {len(found)} folders, {total:.1f} MB.")


def _forget(settings: Settings, key: str) -> None:
    path = settings.workspace.studies / f"{key}.json"
    if not path.is_file():
        complain(f"no study {key!r}; `saeflow status` lists them")
        raise SystemExit(1)
    path.unlink()


def _drop_dangling(settings: Settings) -> None:
    """Remove the links to reports that are no more."""
    for link in settings.workspace.report("any").parent.glob("*"):
        if link.is_symlink() and not link.exists():
            link.unlink()


def _unneeded(settings: Settings) -> Iterator[Path]:
    store = settings.workspace.store
    kept = {str(ref) for record in settings.workspace.records() for ref in record["artifacts"]}
    for step in sorted(path for path in store.root.glob("*") if path.is_dir()):
        for place in sorted(path for path in step.iterdir() if path.is_dir()):
            needed = f"{step.name}/{_checkpointed(place.name)}" in kept
            if needed or _young(place) or _leased(store, step.name, place.name):
                continue
            yield place


def _checkpointed(name: str) -> str:
    """The artefact that a folder holds the checkpoints of, else the folder's own name."""
    return name[1:].removesuffix(".checkpoint") if name.endswith(".checkpoint") else name


def _young(place: Path) -> bool:
    newest = max((path.stat().st_mtime for path in (place, *place.rglob("*"))), default=0.0)
    return time.time() - newest < _YOUNG_S


def _leased(store: ArtifactStore, step: str, name: str) -> bool:
    from tasks.lease import lease_path, read_lease

    fingerprint = name.lstrip(".").split(".")[0]
    return read_lease(lease_path(store, Artifact(step, fingerprint))) is not None


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
