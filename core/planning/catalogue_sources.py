"""What lies outside a feature catalogue: a study's SAEs, local models and sentence embedders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from core.errors import BadInput
from core.explain.chosen import CatalogueSAE
from core.explain.embedder import embedder_folder
from core.lm.hub import hub_name
from core.lm.packages import PACKAGE_PREFIX
from core.planning.located import Reader
from core.planning.model_source import FoundModel, find_model, pinned_model
from core.planning.places import find_first
from core.store.hashes import HashMemo
from core.study.catalogue import CatalogueConfig, Explainer, Scorer

T = TypeVar("T", Explainer, Scorer)
_DECIDES = (".json", ".safetensors", ".txt", ".model")
"""Files of an embedder that its vectors depend on: weights, settings, vocabularies."""


@dataclass(frozen=True)
class FoundEmbedder:
    """A sentence embedder: what tables call it, where it lies, and what it holds."""

    name: str
    folder: Path
    content: str


@dataclass(frozen=True)
class CatalogueSources:
    """Everything outside a catalogue that decides its result: SAEs with their chosen features, local models by their
    pinned places, embedders by their names in the catalogue."""

    saes: tuple[CatalogueSAE, ...]
    models: Mapping[str, FoundModel] = field(default_factory=dict)
    embedders: Mapping[str, FoundEmbedder] = field(default_factory=dict)


def pin_catalogue(config: CatalogueConfig, bases: Sequence[Path]) -> CatalogueConfig:
    """The catalogue with absolute places of its local models and embedders.

    Raises:
        BadInput: one is nowhere.
    """
    explainers = tuple(_with_model(one, bases, f"explainers: {one.name}") for one in config.explainers)
    scorers = tuple(_with_model(one, bases, f"scorers: {one.name}") for one in config.scorers)
    embedders = {
        name: one.model_copy(update={"model": _embedder_place(one.model, bases)})
        for name, one in config.embedders.items()
    }
    places = {"explainers": explainers, "scorers": scorers, "embedders": embedders}
    if config.examples_table is not None:
        places["examples_table"] = str(find_first(config.examples_table, bases, "examples_table"))
    return config.model_copy(update=places)


def _with_model(one: T, bases: Sequence[Path], where: str) -> T:
    if one.model is None:
        return one
    try:
        return one.model_copy(update={"model": pinned_model(one.model, bases)})
    except BadInput as error:
        raise BadInput(str(error).replace("model.path", f"{where}: model", 1)) from error


def _embedder_place(name: str, bases: Sequence[Path]) -> str:
    """A folder below one of `bases` where there is such a folder; else the name, a package's or the hub's."""
    try:
        return str(find_first(name, bases, "embedders"))
    except BadInput:
        return name


def read_catalogue_sources(config: CatalogueConfig, saes: tuple[CatalogueSAE, ...], reader: Reader) -> CatalogueSources:
    """Hash everything outside a pinned catalogue.

    Raises:
        BadInput: a model or an embedder is missing.
    """
    places = {*(one.model for one in config.explainers), *(one.model for one in config.scorers)}
    models = {place: find_model(place, reader) for place in sorted(place for place in places if place is not None)}
    embedders = {name: _found(one.model, reader.memo) for name, one in config.embedders.items()}
    return CatalogueSources(saes, models, embedders)


def _found(name: str, memo: HashMemo) -> FoundEmbedder:
    folder = embedder_folder(name)
    files = sorted(path for path in folder.rglob("*") if path.suffix in _DECIDES)
    called = name if name.startswith(PACKAGE_PREFIX) else name_of(name)  # whose version is the package's
    return FoundEmbedder(called, folder, memo.sha256_all(files))


def name_of(place: str) -> str:
    """What tables call a model by its pinned place: the hub's name, the package's, or the folder's."""
    if place.startswith(PACKAGE_PREFIX):
        return place.removeprefix(PACKAGE_PREFIX)
    path = Path(place)
    return hub_name(path) or path.name if path.is_absolute() else place
