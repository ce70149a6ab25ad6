"""Who answers the questions of an explainer or a judge, and who embeds, as the units of a catalogue name them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from core.planning.builders.rows import convert_unit
from core.planning.catalogue_sources import CatalogueSources, name_of
from core.planning.naming import Inputs
from core.store.units import Unit
from core.study.catalogue import CatalogueConfig

DECIDES = {"url", "model", "pictures"}
"""Fields of a profile that decide its answers; the others say how it is asked."""


@dataclass(frozen=True)
class Answering:
    """`recipe` is what decides the answers, null where nobody is asked; `knobs` say where to ask, and how."""

    recipe: Mapping[str, Any] | None = None
    knobs: Mapping[str, Any] = field(default_factory=dict)
    inputs: Inputs = field(default_factory=dict)
    local: bool = False


def answering(config: CatalogueConfig, sources: CatalogueSources, profile: str | None, model: str | None) -> Answering:
    """The chat endpoint of a profile, or a model on this machine; nobody where neither is named."""
    if profile is not None:
        settings = config.profiles[profile].model_dump(mode="json")
        decides = {name: settings[name] for name in sorted(DECIDES)}
        return Answering(decides, {"profile": profile, "settings": settings})
    if model is None:
        return Answering()
    found = sources.models[model]
    recipe = {"name": name_of(model), "content": found.content, "transformers": version("transformers")}
    convert = convert_model(sources, model)
    inputs: Inputs = {} if convert is None else {"model": (convert.artifact,)}
    return Answering(recipe, {"folder": None if convert else str(found.folder)}, inputs, local=True)


def convert_model(sources: CatalogueSources, model: str) -> Unit | None:
    """The unit that makes a checkpoint of a model which comes as a package; null for others."""
    found = sources.models[model]
    return None if found.package is None else convert_unit(found.package, found.content)


def embedding(config: CatalogueConfig, sources: CatalogueSources, name: str) -> Answering:
    """The embedder of that name in the catalogue."""
    found = sources.embedders[name]
    recipe = {"name": found.name, "content": found.content}
    return Answering(recipe, {"folder": str(found.folder), "batch": config.embedders[name].batch}, local=True)
