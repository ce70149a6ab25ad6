"""A feature catalogue as somebody means it: its file found, its places pinned, its study opened, its keys there."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from core.chat.address import profile_line
from core.explain.chosen import CatalogueSAE
from core.planning.catalogue_file import CATALOGUE_FILES
from core.planning.catalogue_sources import pin_catalogue
from core.planning.catalogue_survey import CatalogueSurvey, asked_profiles, survey_catalogue
from core.reading.catalogue_saes import catalogue_saes
from core.reading.example_tables import table_saes
from core.reading.records import open_by_name
from core.store.artifacts import ArtifactStore
from core.store.hashes import HashMemo
from core.store.lineage import made_from
from core.store.units import Unit
from core.store.workspace import Workspace
from core.study.catalogue import CatalogueConfig
from flows.runtime.settings import PROJECT, started_in
from tasks.keys import key_of

CATALOGUES = PROJECT / "deployments" / "catalogues"


def open_catalogue(catalogue: CatalogueConfig | str, overrides: Sequence[str] = ()) -> CatalogueConfig:
    """A catalogue with absolute places.

    Raises:
        BadInput: no such file, a field is wrong, or a model or an embedder is nowhere.
    """
    if isinstance(catalogue, CatalogueConfig):
        return pin_catalogue(catalogue, _elsewhere())
    path = CATALOGUE_FILES.find(catalogue, [started_in(), CATALOGUES])
    return pin_catalogue(CATALOGUE_FILES.load(path, overrides), [path.parent, *_elsewhere()])


def with_study(config: CatalogueConfig, study: str | None) -> CatalogueConfig:
    """The catalogue over another study; null leaves its own.

    Raises:
        BadInput: a field is wrong.
    """
    if study is None or study == config.study:
        return config
    fields: Mapping[str, object] = {**config.model_dump(mode="json"), "study": study}
    return CATALOGUE_FILES.changed(config, fields, f"catalogue {config.name}")


def survey_opened(config: CatalogueConfig, workspace: Workspace) -> CatalogueSurvey:
    """The catalogue of a study that has run here, or of a table of examples, with every unit named.

    Raises:
        BadInput: the study or a layer is not there, or what the catalogue needs is missing.
    """
    return survey_catalogue(config, _saes(config, workspace), workspace)


def survey_one(config: CatalogueConfig, workspace: Workspace) -> CatalogueSurvey:
    """The same of a catalogue of one feature, without the frozen dictionary's.

    Raises:
        BadInput: the study, the layer or the feature is not there, or what is needed is missing.
    """
    return survey_catalogue(config, _saes(config, workspace)[:1], workspace)


def _saes(config: CatalogueConfig, workspace: Workspace) -> tuple[CatalogueSAE, ...]:
    if config.examples_table is not None:
        return table_saes(config, Path(config.examples_table), HashMemo(workspace.hashes))
    return catalogue_saes(open_by_name(workspace, config.study), config)


def forget_unanswered(seen: CatalogueSurvey, workspace: Workspace) -> int:
    """Set aside what was made from answers that could not be used, so that the next run asks again; how many units."""
    store = workspace.store
    lacking = [unit.artifact for unit in seen.plan if store.path(unit.artifact).is_dir() and _lacks(store, unit)]
    for artifact in (*lacking, *made_from(store, lacking)):
        store.set_aside(artifact)
    return len(lacking)


def _lacks(store: ArtifactStore, unit: Unit) -> bool:
    return bool(store.manifest(unit.artifact).get("metrics", {}).get("unanswered"))


def check_profiles(config: CatalogueConfig, units: Iterable[Unit]) -> None:
    """Look at the addresses and keys of the profiles that these units ask; nothing is sent.

    Raises:
        BadInput: an address cannot be used, or a key is not in the environment.
    """
    for name, profile in asked_profiles(config, list(units)).items():
        profile_line(name, profile, key_of(profile))


def _elsewhere() -> list[Path]:
    """Where a path is looked up that is not below its catalogue's folder."""
    return [started_in(), CATALOGUES, PROJECT]
