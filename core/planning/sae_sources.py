"""Where someone else's SAEs of a study lie, folders or repositories in the hub's local cache, and what they are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import BadInput
from core.lm.shape import model_names
from core.planning.located import Reader, SAESource, Shape, Sources
from core.planning.naming import layers_of
from core.planning.study import Study
from core.sae.origins import read_trained
from core.sae.places import HUB, content, sae_folder
from core.store.hashes import HashMemo
from core.study.sites import Site, extent

FIELDS = ("pretrained", "beside")


@dataclass(frozen=True)
class Use:
    """What a study would use the SAEs on: its layers, what is read of them, the width of their rows where it is known,
    and all names of its model, the one that readers know it by first."""

    layers: Sequence[int]
    site: Site
    width: int | None
    models: Sequence[str]


def pin_saes(study: Study, bases: Sequence[Path]) -> Study:
    """The study with absolute places of its SAEs: below the first of `bases` that has the folder around them.

    Raises:
        BadInput: none of `bases` has it.
    """
    found: dict[str, Any] = {}
    for field in FIELDS:
        places = getattr(study.sae, field)
        if isinstance(places, str):
            found[field] = _pin(field, places, bases)
        elif isinstance(places, Mapping):
            found[field] = {layer: _pin(field, place, bases) for layer, place in places.items()}
        elif places is not None:
            found[field] = tuple(_pin(field, place, bases) for place in places)
    return study.model_copy(update={"sae": study.sae.model_copy(update=found)}) if found else study


def _pin(field: str, place: str, bases: Sequence[Path]) -> str:
    if place.startswith(HUB):
        return place
    fixed = re.split(r"\{layer\}|[*?]", place)[0]
    around = Path(fixed + "x").expanduser().parent
    base = next((base for base in bases if (base / around).is_dir()), None)
    if base is None:
        raise BadInput(f"sae.{field}: {place!r}: there is no folder {around} below {_listed(bases)}")
    return str(base / Path(place).expanduser())


def read_saes(study: Study, found: Sources, reader: Reader) -> Sources:
    """Add someone else's SAEs, as soon as the model's shape is known.

    Raises:
        BadInput: a layer's folder is missing or not named, several match, or its SAE cannot be used.
    """
    if found.model_shape is None:
        return found
    return replace(found, saes=sae_sources(study, use_of_saes(study, found), reader.memo))


def use_of_saes(study: Study, found: Sources) -> Use:
    """What the study's SAEs would be used on; the model's shape must be known.

    Raises:
        BadInput: a layer is beyond the model.
    """
    assert found.model_shape is not None
    shape = Shape.of(found.model_shape, images=1)  # as many layers as with all its images
    return Use(layers_of(study, found, shape), study.capture.site, _width(study, found, shape), _names(study, found))


def _names(study: Study, found: Sources) -> list[str]:
    """Every name that the study's model goes by: its factory's or package's, and its place's (`model_names`)."""
    named = [name for name in (found.factory, found.package) if name]
    return [*named, *(model_names(found.folder) if found.folder else ())] or [str(study.model.path)]


def _width(study: Study, found: Sources, shape: Shape) -> int | None:
    """Width of the study's rows; null for the heads' outputs, which the model's shape does not tell."""
    if found.precomputed is not None:
        return found.precomputed.d_model
    return None if study.capture.site == "attn_z" else extent(shape, study.capture.site).width


def sae_sources(study: Study, use: Use, memo: HashMemo) -> Mapping[str, Mapping[int, SAESource]]:
    """The folder, content and origin of each layer's SAE, by field of the study.

    What its configuration and its files' headers say is checked, so that an SAE of another width or of a kind that
    cannot be read is refused before anything is captured.

    Raises:
        BadInput: a layer's folder is missing or not named, several match, or its SAE cannot be used.
    """
    found: dict[str, dict[int, SAESource]] = {}
    for field in FIELDS:
        places = getattr(study.sae, field)
        if places is not None:
            by_layer = _by_layer(f"sae.{field}", places, use.layers)
            folders = {layer: sae_folder(f"sae.{field}", place) for layer, place in by_layer.items()}
            found[field] = {
                layer: _source(f"sae.{field}", layer, folder, use, memo) for layer, folder in folders.items()
            }
    return found


def _by_layer(field: str, places: str | Mapping[int, str] | Sequence[str], layers: Sequence[int]) -> dict[int, str]:
    if isinstance(places, str):
        return {layer: places.replace("{layer}", str(layer)) for layer in layers}
    if not isinstance(places, Mapping):
        if len(places) != len(layers):
            raise BadInput(f"{field}: {len(places)} places for {len(layers)} captured layers; give one for each")
        return dict(zip(layers, places, strict=True))
    missing = [layer for layer in layers if layer not in places]
    if missing:
        raise BadInput(f"{field}: no place for layer {missing[0]}, which is captured; add it, or narrow capture.layers")
    return {layer: places[layer] for layer in layers}


def _source(field: str, layer: int, folder: Path, use: Use, memo: HashMemo) -> SAESource:
    from core.sae.pretrained import check_pretrained  # torch

    try:
        check_pretrained(folder, use.width)
    except BadInput as error:
        raise BadInput(f"{field}: {error}") from error
    return SAESource(folder, content(folder, memo), read_trained(folder).used_on(use.models, use.site, layer))


def _listed(bases: Sequence[Path]) -> str:
    return ", ".join(dict.fromkeys(str(base) for base in bases))
