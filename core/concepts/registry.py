"""Registries of autoencoders: which SAEs of a model there are, where they read it, and where their files lie."""

import difflib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from core.errors import BadInput
from core.sae.configs import GEMMA_SCOPE, GEMMA_SCOPE_2, SPARSIFY_WEIGHTS, WEIGHTS
from core.sae.places import HUB
from core.study.section import Positive, Section
from core.study.sites import STREAM, VISION, Site

Format = Literal["sae_lens", "sparsify", "gemma_scope", "gemma_scope_2"]
FORMATS: Mapping[str, Format] = {
    WEIGHTS: "sae_lens",
    SPARSIFY_WEIGHTS: "sparsify",
    GEMMA_SCOPE: "gemma_scope",
    GEMMA_SCOPE_2: "gemma_scope_2",
}
"""Layouts that can be read, by the name of their weights."""
_LINES = 5
_Name = Annotated[str, Field(min_length=1)]


class SAEEntry(Section):
    """An autoencoder of a registry: what is declared of it."""

    key: _Name
    """Its name in the registry, by which features are named; unique."""
    layer: Annotated[int, Field(ge=0)]
    """The decoder layer that it reads, counted from 0."""
    site: Site = STREAM
    """What it reads of that layer."""
    width: Positive
    """Its number of features."""
    l0: Annotated[float, Field(gt=0)] | None = None
    """Features that fire per token on average, as its makers state it."""
    format: Format
    """Layout of its files."""
    path: _Name
    """Its folder, from the registry's own folder on, or `hub:OWNER/REPO[@REVISION]/PATH` in the hub's local cache."""
    neuronpedia: _Name | None = None
    """Its id on Neuronpedia, MODEL/SOURCE."""

    @field_validator("site")
    @classmethod
    def _of_text(cls, site: Site) -> Site:
        if site in VISION:
            raise ValueError(f"{site} is read of images; a registry is for sentences")
        return site


class Registry(Section):
    """The autoencoders of one model, in order; keys and paths are unique."""

    model: _Name
    """The model that they read, by its name on the hub or in TransformerLens."""
    num_layers: Positive | None = None
    """How many layers the model has, where it is known."""
    entries: tuple[SAEEntry, ...]
    """The autoencoders."""

    @field_validator("entries")
    @classmethod
    def _distinct(cls, entries: tuple[SAEEntry, ...]) -> tuple[SAEEntry, ...]:
        if not entries:
            raise ValueError("entries is empty; a registry has one SAE or more")
        for field in ("key", "path"):
            value, count = Counter(getattr(entry, field) for entry in entries).most_common(1)[0]
            if count > 1:
                numbers = [number for number, entry in enumerate(entries) if getattr(entry, field) == value]
                raise ValueError(f"entries {' and '.join(map(str, numbers))} have one {field}, {value!r}; keep one")
        return entries

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that have an SAE, in ascending order."""
        return tuple(sorted({entry.layer for entry in self.entries}))

    def missing_layers(self, num_layers: int | None = None) -> tuple[int, ...]:
        """The model's layers that have no SAE; where nothing says how many there are, those below the highest one."""
        return tuple(sorted(set(range(num_layers or self.num_layers or self.layers[-1] + 1)) - set(self.layers)))

    def alike(self) -> tuple[tuple[SAEEntry, ...], ...]:
        """Entries that only key and path tell apart: one layer, site, width and declared L0, in groups."""
        groups = defaultdict(list)
        for entry in self.entries:
            groups[entry.layer, entry.site, entry.width, entry.l0].append(entry)
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def read_registry(path: Path) -> Registry:
    """Read a registry from YAML; relative paths start at the file's folder.

    Raises:
        BadInput: it is no registry; one line for each field that is wrong.
    """
    registry = parse_registry(read_yaml(path), path.name)
    base = path.expanduser().resolve().parent
    return _with_paths(registry, lambda place: place if place.startswith(HUB) else str(base / Path(place).expanduser()))


def read_yaml(path: Path) -> Any:
    """What a YAML file holds, read by the fastest reader there is.

    Raises:
        BadInput: it cannot be read, or is no YAML.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(path.expanduser().read_text(encoding="utf-8"), loader)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        raise BadInput(f"{path.name}{line}: not valid YAML ({getattr(error, 'problem', error)})") from error


def write_registry(registry: Registry, path: Path, origin: str) -> None:
    """Write a registry as YAML, one line for each entry; folders below the file's own are written relative to it.
    `origin` says in the first line what it was made from.

    Raises:
        BadInput: it cannot be written.
    """
    base = path.expanduser().resolve().parent
    content = _with_paths(registry, lambda place: _below(place, base)).model_dump(mode="json", exclude_none=True)
    text = yaml.safe_dump(content, default_flow_style=None, sort_keys=False, width=10_000, allow_unicode=True)
    try:
        path.expanduser().write_text(f"# Made by `saeflow concept registry` from {origin}.\n{text}", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); name a file in a folder that exists") from error


def parse_registry(raw: object, origin: str) -> Registry:
    """Validate a mapping as a registry; `origin` opens the error message.

    Raises:
        BadInput: one line for each field that is wrong, the first five.
    """
    if not isinstance(raw, Mapping):
        raise BadInput(f"{origin}: a registry is a mapping of model, num_layers and entries")
    try:
        return Registry.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False)
        lines = [f"{origin}: {_explained(item, raw)}" for item in found[:_LINES]]
        more = [f"{origin}: {len(found) - _LINES} more fields are wrong"] if len(found) > _LINES else []
        raise BadInput("\n".join([*lines, *more])) from error


def parse_entry(raw: Mapping[str, object], origin: str) -> SAEEntry:
    """Validate a mapping as one entry; `origin` opens the error message.

    Raises:
        BadInput: a field is wrong; the message names the first.
    """
    try:
        return SAEEntry.model_validate(raw)
    except ValidationError as error:
        item = error.errors(include_url=False)[0]
        message = str(item["msg"]).removeprefix("Value error, ")
        raise BadInput(f"{origin}: {item['loc'][0]}: {repr(item['input'])[:80]} is wrong: {message}") from error


def check_layers(registry: Registry, num_layers: int) -> None:
    """Refuse entries that read a layer which the model does not have.

    Raises:
        BadInput: there is one; the message names the first.
    """
    beyond = [entry for entry in registry.entries if entry.layer >= num_layers]
    if beyond:
        more = f" (and {len(beyond) - 1} more)" if len(beyond) > 1 else ""
        raise BadInput(
            f"{beyond[0].key}{more}: layer {beyond[0].layer}; the model has layers 0 to {num_layers - 1}: remove the "
            f"entry, or use the model that the registry is for, {registry.model}"
        )


def _explained(item: Any, raw: Mapping[str, Any]) -> str:
    location: Sequence[Any] = item["loc"]
    where = ".".join(map(str, location))
    if len(location) > 1 and isinstance(location[1], int):
        entry = raw["entries"][location[1]]
        key = entry.get("key") if isinstance(entry, Mapping) else None
        where = f"entry {location[1]}{f' ({key})' if key else ''}: {'.'.join(map(str, location[2:]))}"
    if item["type"] == "extra_forbidden":
        known = list((SAEEntry if len(location) > 1 else Registry).model_fields)
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"{where}: unknown field; {fix}"
    if item["type"] == "missing":
        return f"{where}: missing; add it"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message if where == "entries" else f"{where}: {repr(item['input'])[:80]} is wrong: {message}"


def _with_paths(registry: Registry, change: Callable[[str], str]) -> Registry:
    entries = tuple(entry.model_copy(update={"path": change(entry.path)}) for entry in registry.entries)
    return registry.model_copy(update={"entries": entries})


def _below(place: str, base: Path) -> str:
    folder = Path(place)
    return str(folder.relative_to(base)) if not place.startswith(HUB) and folder.is_relative_to(base) else place
