"""`saeflow verify` and `saeflow gc`: the artefacts against their manifests, and what nobody needs."""

import shutil
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from cli.terminal import complain, console
from core.reading.records import records_of
from core.store.artifacts import Artifact, ArtifactStore
from core.store.lineage import made_from
from core.store.workspace import Workspace
from flows.runtime.settings import Settings, read_settings

# Younger things may belong to a run that has not recorded itself yet.
_YOUNG_S = 24 * 3600.0


def verify(
    study: Annotated[
        str | None,
        typer.Argument(
            help="Only what this study, variant, or scan or catalogue (by its key) refers to.",
            show_default=False,
        ),
    ] = None,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend", help="Set damaged artefacts and all made from them aside; the next run recomputes them."
        ),
    ] = False,
) -> None:
    """Hash every file of every artefact and compare with its manifest; list what was made from a damaged one."""
    workspace = read_settings().workspace
    store = workspace.store
    artifacts = list(store) if study is None else _of_study(workspace, study)
    shown = track(artifacts, description="verifying", console=console, transient=True)
    damaged = {artifact: faults for artifact in shown if (faults := store.verify(artifact))}
    if not damaged:
        console.print(f"[green]✓[/green] {len(artifacts)} artefacts equal their manifests.")
        return
    tainted = made_from(store, damaged)
    for line in chain(*damaged.values(), (_made_from(store, made) for made in tainted)):
        complain(line)
    for name in workspace.published_among([*damaged, *tainted]):
        complain(f"{name}: what is published there is one of these")
    if mend:
        _mend(workspace, damaged)
    else:
        _tell_mend(len(damaged), len(tainted))
    raise SystemExit(1)


def _of_study(workspace: Workspace, asked: str) -> list[Artifact]:
    """The artefacts that are there of a study with all its variants, of one variant, or of a scan or catalogue."""
    others = [one for one in (*workspace.scans.all(), *workspace.catalogues.all()) if one["key"] == asked]
    wanted = {str(ref) for one in others or records_of(workspace, asked) for ref in one["artifacts"]}
    return [artifact for artifact in workspace.store if artifact.ref in wanted]


def _made_from(store: ArtifactStore, made: Artifact) -> str:
    manifest = store.manifest(made)
    return f"{made.ref}: made from what is damaged ({manifest.get('label')} of {manifest.get('study')})"


def set_aside_damaged(store: ArtifactStore, damaged: Iterable[Artifact]) -> list[Artifact]:
    """Set aside what is still damaged, for a run may have recomputed some meanwhile, and what was made from it."""
    still = [artifact for artifact in damaged if not store.intact(artifact)]
    artifacts = [*still, *made_from(store, still)]
    for artifact in artifacts:
        store.set_aside(artifact)
    return artifacts


def _mend(workspace: Workspace, damaged: Iterable[Artifact]) -> None:
    artifacts = set_aside_damaged(workspace.store, damaged)
    for name in workspace.drop_dangling():
        console.print(f"{name} is taken away until the next run of its study.", markup=False)
    console.print(f"{len(artifacts)} artefacts are set aside; the next run of their study recomputes them.")


def _tell_mend(damaged: int, tainted: int) -> None:
    console.print(
        f"{damaged} artefacts are damaged and {tainted} were made from them: `saeflow verify --mend` sets all of them "
        "aside; the next run of their study then recomputes them."
    )


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
    forget: Annotated[
        list[str] | None, typer.Option(help="Forget a study (its key in `saeflow status`) first. May be repeated.")
    ] = None,
) -> None:
    """List, then with --yes remove, what no study, scan or catalogue refers to; never what is leased or younger than
    24 hours."""
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
        settings.workspace.drop_dangling()
        console.print(f"Removed {len(found)} folders, {total:.1f} MB.")


def _forget(settings: Settings, key: str) -> None:
    workspace = settings.workspace
    places = (workspace.record(key), workspace.scans.path(key), workspace.catalogues.path(key))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        complain(f"no study, scan or catalogue {key!r}; `saeflow status` and `saeflow concept list` list them")
        raise SystemExit(1)
    path.unlink()


def _unneeded(settings: Settings) -> Iterator[Path]:
    store = settings.workspace.store
    kept = {str(ref) for record in settings.workspace.all_records() for ref in record["artifacts"]}
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
