"""What was made from what, by the manifests: what a damaged artefact puts in doubt."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.store.artifacts import Artifact, ArtifactStore, DamagedArtifact
from core.store.units import Unit


def made_from(store: ArtifactStore, artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Every artefact of the store that was made from one of these, directly or over others; the nearest first."""
    users: dict[Artifact, list[Artifact]] = {}
    for artifact in store:
        for source in _inputs(store, artifact):
            users.setdefault(source, []).append(artifact)
    pending = list(artifacts)
    seen = set(pending)
    found: list[Artifact] = []
    for source in pending:
        new = [artifact for artifact in users.get(source, ()) if artifact not in seen]
        seen.update(new)
        found += new
        pending += new
    return found


def _inputs(store: ArtifactStore, artifact: Artifact) -> Iterator[Artifact]:
    try:
        roles = store.manifest(artifact)["unit"]["inputs"]
        yield from {Artifact.from_ref(ref) for refs in roles.values() for ref in refs}
    except (DamagedArtifact, KeyError, TypeError, AttributeError):
        return


@dataclass(frozen=True)
class Look:
    """What of some units is there: `whole` are as their manifests say and not in doubt; `damage` has one line per file.

    A file that was found right and changed later puts nothing in doubt: a unit that reads it after the change looks
    first. What was made from a file that nobody had found right is `doubtful`, artefacts of other studies included.
    """

    whole: frozenset[Artifact]
    damage: tuple[str, ...]
    doubtful: tuple[Artifact, ...]


def look(store: ArtifactStore, units: Iterable[Unit]) -> Look:
    """What of these units is there; what one of them puts in doubt counts as missing among the others."""
    labels = {unit.artifact: unit.label for unit in units}
    faulty = store.faulty(labels)
    there = {artifact: faults for artifact, faults in faulty.items() if store.path(artifact).is_dir()}
    sources = [artifact for artifact, faults in there.items() if any(fault.doubtful for fault in faults)]
    doubtful = made_from(store, sources) if sources else []
    lines = [f"{labels[made]} is damaged; a run recomputes it: {fault}" for made in there for fault in there[made]]
    if doubtful:
        lines.append(
            f"{len(doubtful)} artefacts made from damaged ones are recomputed too: they may have read what is wrong"
        )
    return Look(frozenset(labels.keys() - faulty.keys() - {*doubtful}), tuple(lines), tuple(doubtful))
