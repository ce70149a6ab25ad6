"""A feature catalogue seen from its workspace: what is where, what is cached, what would run."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.explain.chosen import CatalogueSAE
from core.planning.catalogue import CataloguePlan, plan_catalogue
from core.planning.catalogue_sources import CatalogueSources, read_catalogue_sources
from core.planning.survey import reader_of
from core.store.lineage import Look, look
from core.store.units import Unit
from core.store.workspace import Workspace
from core.study.catalogue import CatalogueConfig, ChatProfile


@dataclass(frozen=True)
class CatalogueSurvey:
    """A catalogue whose units are all named: what they are made from is there."""

    config: CatalogueConfig
    sources: CatalogueSources
    plan: CataloguePlan

    def look(self, workspace: Workspace) -> Look:
        """What of the units is there."""
        return look(workspace.store, self.plan)

    def missing(self, workspace: Workspace) -> list[Unit]:
        """The units that are not there."""
        whole = self.look(workspace).whole
        return [unit for unit in self.plan if unit.artifact not in whole]


def survey_catalogue(config: CatalogueConfig, saes: tuple[CatalogueSAE, ...], workspace: Workspace) -> CatalogueSurvey:
    """Locate and hash what a pinned catalogue needs beside its SAEs, and name every unit.

    Raises:
        BadInput: a model or an embedder is missing, or an explainer needs what is not known.
    """
    reader = reader_of(workspace)
    sources = read_catalogue_sources(config, saes, reader)
    reader.memo.save()
    return CatalogueSurvey(config, sources, plan_catalogue(config, sources))


def asked_profiles(config: CatalogueConfig, units: Sequence[Unit]) -> dict[str, ChatProfile]:
    """The profiles that these units ask."""
    names = {unit.knobs.get("asked", {}).get("profile") for unit in units}
    return {name: profile for name, profile in config.profiles.items() if name in names}
