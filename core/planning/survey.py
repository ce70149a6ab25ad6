"""From a study to its plan, as far as it can be known: what is where, what is cached, what would run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.data.samples import read_samples
from core.lm.checkpoint import read_checkpoint
from core.lm.templates import template_notes
from core.planning.builders.rows import convert_unit
from core.planning.graph import Plan, Roots, plan_roots, plan_study
from core.planning.left_out import languages_of
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
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Why analyses are left out, by name; known once the model's folder is there."""

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
    doubts = tuple(_concept_warnings(study, sources, workspace, roots))
    notes = _model_notes(sources.folder) if sources.folder is not None else ()
    if sources.model_shape is None:
        return Survey(study, sources, roots, None, None, notes, doubts)
    summary = workspace.samples_summary(roots.prepare)
    if summary is not None:
        shape = Shape.of(sources.model_shape, summary["images"], bool(summary["has_images"]))
    else:  # for one image only, to hear of a wrong layer now and not after the samples are prepared
        shape = Shape.of(sources.model_shape, images=1)
    plan = plan_study(study, sources, shape)
    warnings = (*_origin_warnings(study, sources), *doubts)
    known = plan if summary is not None else None
    return Survey(study, sources, roots, known, plan.layers, notes, warnings, plan.skipped)


def reader_of(workspace: Workspace) -> Reader:
    """What reading a study's sources takes in this workspace."""
    memo = HashMemo(workspace.hashes)
    return Reader(memo, lambda package, content: _converted(workspace, package, content))


def _converted(workspace: Workspace, package: str, content: str) -> Path | None:
    artifact = convert_unit(package, content).artifact
    return workspace.store.path(artifact) if workspace.store.intact(artifact) else None


def _origin_warnings(study: Study, sources: Sources) -> Iterator[str]:
    use = use_of_saes(study, sources)
    for named, found in sources.saes.items():
        trained = {layer: source.trained for layer, source in found.items()}
        yield from origin_warnings(f"sae.{named}", trained, f"{use.site} of {use.models[0]}")


def _concept_warnings(study: Study, sources: Sources, workspace: Workspace, roots: Roots) -> Iterator[str]:
    """What is doubtful with concepts that the study describes, in its samples as far as they are there."""
    if not study.concepts:
        return
    from core.data.concept_checks import check_concept, unprepared_samples  # it reads tables and draws scenes

    prepared = roots.prepare.artifact
    if workspace.store.intact(prepared):
        samples = read_samples(workspace.store.path(prepared))
    else:
        samples = unprepared_samples(study.data, sources.data_base)
    for concept in study.concepts:
        yield from check_concept(concept, samples, languages_of(study))


def _model_notes(folder: Path) -> tuple[str, ...]:
    notes = (*read_checkpoint(folder).notes, *template_notes(folder))
    return tuple(f"model {folder.name}: {note}" for note in notes)
