"""From a study to its plan, as far as it can be known: what is where, what is cached, what would run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core.lineage import Look, look
from core.lm.checkpoint import read_checkpoint
from core.lm.shape import ModelShape, read_shape
from core.lm.templates import template_notes
from core.plan import Plan, plan_roots, plan_study
from core.plan_capture import layers_of
from core.precomputed_source import precomputed_source
from core.sae.origins import origin_warnings
from core.sae_sources import Use, names_of_model, sae_sources
from core.sources import HashMemo, Located, hash_sources, locate
from core.study import Study
from core.study.sites import extent
from core.units import Roots, SAESource, Shape, Sources
from core.workspace import Workspace


@dataclass(frozen=True)
class Survey:
    """A study seen from its workspace.

    `plan` is null until samples and model are there; `layers` are known as soon as the model's folder is. `notes` say
    what is read otherwise than it is stored, and `warnings` what is doubtful, a sentence each.
    """

    study: Study
    located: Located
    sources: Sources
    roots: Roots
    plan: Plan | None
    layers: tuple[int, ...] | None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def look(self, workspace: Workspace) -> Look:
        """What of the units that can be named is there."""
        if self.plan is not None:
            return look(workspace.store, self.plan)
        roots = (self.roots.prepare, self.roots.convert_model)
        return look(workspace.store, [unit for unit in roots if unit is not None])

    def whole(self, workspace: Workspace) -> bool:
        """Whether every artefact of the study is there, as its manifest says."""
        return self.plan is not None and {unit.artifact for unit in self.plan} <= self.look(workspace).whole


def survey(study: Study, workspace: Workspace) -> Survey:
    """Locate and hash the sources of a study whose places are pinned, and name every unit that can be named.

    Raises:
        BadInput: a source is missing or damaged, or a layer is out of range.
    """
    located = locate(study, [Path.cwd()])
    memo = HashMemo(workspace.hashes)
    sources = replace(hash_sources(study, located, memo), precomputed=precomputed_source(study, memo))
    roots = plan_roots(study, sources)
    folder = workspace.model_folder(roots, located.model)
    model = _model_shape(study, located, folder)
    notes = _model_notes(folder) if folder is not None else ()
    shape = workspace.shape(roots, model)
    # Planned for one image only, to hear of a wrong layer now and not after the samples are prepared.
    trial = shape if shape or model is None else Shape.of(model, images=1)
    warnings: tuple[str, ...] = ()
    if trial is not None:
        names = names_of_model(study, located, folder)
        use = Use(layers_of(study, sources, trial), study.capture.site, _width(study, sources, trial), names)
        sources = replace(sources, saes=sae_sources(study, use, memo))
        warnings = tuple(_origin_warnings(sources.saes, use))
    memo.save()
    tried = plan_study(study, sources, trial) if trial else None
    plan = tried if shape else None
    return Survey(study, located, sources, roots, plan, tried.layers if tried else None, notes, warnings)


def _origin_warnings(saes: Mapping[str, Mapping[int, SAESource]], use: Use) -> Iterator[str]:
    for field, sources in saes.items():
        trained = {layer: source.trained for layer, source in sources.items()}
        yield from origin_warnings(f"sae.{field}", trained, f"{use.site} of {use.models[0]}")


def _model_notes(folder: Path) -> tuple[str, ...]:
    notes = (*read_checkpoint(folder).notes, *template_notes(folder))
    return tuple(f"model {folder.name}: {note}" for note in notes)


def _width(study: Study, sources: Sources, shape: Shape) -> int | None:
    """Width of the study's rows; null for the heads' outputs, which the model's shape does not tell."""
    if sources.precomputed is not None:
        return sources.precomputed.d_model
    return None if study.capture.site == "attn_z" else extent(shape, study.capture.site).width


def _model_shape(study: Study, located: Located, folder: Path | None) -> ModelShape | None:
    if located.factory is not None:
        from core.lm.factory import factory_shape  # torch, and whatever the factory needs

        return factory_shape(located.factory, study.capture.site)
    return read_shape(folder) if folder is not None else None
