"""From a study to its plan, as far as it can be known: what is where, what is cached, what would run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.lm.checkpoint import read_checkpoint
from core.lm.templates import template_notes
from core.planning.builders.rows import convert_unit
from core.planning.graph import Plan, Roots, plan_roots, plan_study
from core.planning.located import Reader, Shape, Sources
from core.planning.sae_sources import use_of_saes
from core.planning.sources import read_sources
from core.planning.study import Study
from core.sae.origins import origin_warnings
from core.store.hashes import HashMemo
from core.store.lineage import Look, look
from core.store.workspace import Workspace


@dataclass(frozen=True)
class Survey:
    """A study seen from its workspace.

    `plan` is null until samples and model are there; `layers` are known as soon as the model's folder is. `notes` say
    what is read otherwise than it is stored, and `warnings` what is doubtful, a sentence each.
    """

    study: Study
    sources: Sources
    roots: Roots
    plan: Plan | None
    layers: tuple[int, ...] | None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def look(self, workspace: Workspace) -> Look:
        """What of the units that can be named is there."""
        return look(workspace.store, self.plan or self.roots.units)

    def whole(self, workspace: Workspace) -> bool:
        """Whether every artefact of the study is there, as its manifest says."""
        return self.plan is not None and {unit.artifact for unit in self.plan} <= self.look(workspace).whole


def survey(study: Study, workspace: Workspace) -> Survey:
    """Locate and hash the sources of a study whose places are pinned, and name every unit that can be named.

    Raises:
        BadInput: a source is missing or damaged, or a layer is out of range.
    """
    reader = reader_of(workspace)
    sources = read_sources(study, reader)
    reader.memo.save()
    roots = plan_roots(study, sources)
    notes = _model_notes(sources.folder) if sources.folder is not None else ()
    if sources.model_shape is None:
        return Survey(study, sources, roots, None, None, notes)
    summary = workspace.samples_summary(roots.prepare)
    if summary is not None:
        shape = Shape.of(sources.model_shape, summary["images"], bool(summary["has_images"]))
    else:  # for one image only, to hear of a wrong layer now and not after the samples are prepared
        shape = Shape.of(sources.model_shape, images=1)
    plan = plan_study(study, sources, shape)
    warnings = tuple(_origin_warnings(study, sources))
    return Survey(study, sources, roots, plan if summary is not None else None, plan.layers, notes, warnings)


def reader_of(workspace: Workspace) -> Reader:
    """What reading a study's sources takes in this workspace."""
    memo = HashMemo(workspace.hashes)
    return Reader(memo, lambda package, content: _converted(workspace, package, content))


def _converted(workspace: Workspace, package: str, content: str) -> Path | None:
    artifact = convert_unit(package, content).artifact
    return workspace.store.path(artifact) if workspace.store.intact(artifact) else None


def _origin_warnings(study: Study, sources: Sources) -> Iterator[str]:
    use = use_of_saes(study, sources)
    for field, found in sources.saes.items():
        trained = {layer: source.trained for layer, source in found.items()}
        yield from origin_warnings(f"sae.{field}", trained, f"{use.site} of {use.models[0]}")


def _model_notes(folder: Path) -> tuple[str, ...]:
    notes = (*read_checkpoint(folder).notes, *template_notes(folder))
    return tuple(f"model {folder.name}: {note}" for note in notes)
