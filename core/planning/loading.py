"""From a YAML file, a name or a mapping to a `Study`, with errors that name the field, the value and the fix."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from core.errors import BadInput
from core.planning.study import Study
from core.study.variant import variant_of

ENDINGS = ("", ".yaml", ".yml")
"""What may be left out of a study file's name."""


def find_study(name: str, folders: Sequence[Path], ran: Iterable[str] = ()) -> Path:
    """The study file that `name` means: a path below one of `folders`, with or without `.yaml`. `ran` are the names of
    studies that a workspace knows, which an error offers too.

    Raises:
        BadInput: there is no such file; the message lists the nearest names.
    """
    if (path := study_file(name, folders)) is not None:
        return path
    files = (path for folder in folders for ending in ENDINGS[1:] for path in folder.glob(f"*{ending}"))
    known = sorted({path.stem for path in files if _is_study(path)} | set(ran))
    near = difflib.get_close_matches(Path(name).stem, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; studies here: {', '.join(known) or 'none'}"
    raise BadInput(f"study {name!r}: no such file in {', '.join(str(folder) for folder in folders)}{hint}")


def study_file(name: str, folders: Sequence[Path]) -> Path | None:
    """As `find_study`; null where there is no such file."""
    candidates = (folder / (name + ending) for folder in folders for ending in ENDINGS)
    return next((path.resolve() for path in candidates if path.is_file()), None)


def _is_study(path: Path) -> bool:
    """Whether a YAML file is offered as a study: others, such as `prefect.yaml`, lie beside studies."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError):
        return False
    return isinstance(raw, dict) and {"data", "model"} <= raw.keys()


def load_study(path: Path, overrides: Iterable[str] = ()) -> Study:
    """Read a study file and apply `section.key=value` overrides to it: a variant, unless the values are its own.

    Raises:
        BadInput: the file is no YAML mapping, or a field is wrong.
    """
    return override_study(
        read_mapping(path, "a study is a mapping of sections (name, data, model, …)"), overrides, path.name
    )


def read_mapping(path: Path, what: str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; `what` says of what in the error.

    Raises:
        BadInput: it is none.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        raise BadInput(f"{path.name}{line}: not valid YAML ({getattr(error, 'problem', error)})") from error
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    if not isinstance(raw, dict):
        raise BadInput(f"{path.name}: {what}")
    return raw


def override_study(raw: Mapping[str, Any], overrides: Iterable[str], origin: str) -> Study:
    """Validate a mapping as a study with `section.key=value` overrides; a variant is called after what they change.

    Raises:
        BadInput: an override is no assignment, or a field is wrong.
    """
    given = list(overrides)
    changed = overridden(raw, given)
    study = parse_study(changed, origin)
    if not given or any(changed.get(field) != raw.get(field) for field in ("name", "variant")):
        return study  # called by the user
    try:
        own, made = Study.model_validate(raw).model_dump(mode="json"), study.model_dump(mode="json")
    except ValidationError:  # a file that is a study only with the overrides
        own, made = dict(raw), changed
    return study.model_copy(update={"variant": variant_of(own, made)})


def parse_study(raw: Mapping[str, Any], origin: str) -> Study:
    """Validate a mapping as a study; `origin` opens the error message.

    Raises:
        BadInput: one line a wrong field.
    """
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        raise explained(error, origin, Study) from error


def overridden(raw: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A mapping with `section.key=value` overrides; an item of a list is named by its number, counted from 0.

    Raises:
        BadInput: one is no assignment, or names no item of a list.
    """
    changed = dict(raw)
    for override in overrides:
        _override(changed, override)
    return changed


def _override(raw: dict[str, Any], text: str) -> None:
    dotted, equals, value = text.partition("=")
    if not equals or not dotted:
        raise BadInput(f"--set {text!r}: write section.key=value, for example sae.k=64")
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise BadInput(f"--set {text!r}: the value is not valid YAML") from error
    *sections, key = dotted.strip().split(".")
    place: Any = raw
    for at, section in enumerate(sections):
        here = _key(place, section, f"--set {text!r}: {'.'.join(sections[:at])}")
        inner = place[here] if isinstance(place, list) else place.get(here)
        place[here] = inner.copy() if isinstance(inner, dict | list) else {}
        place = place[here]
    place[_key(place, key, f"--set {text!r}: {'.'.join(sections)}")] = read


def _key(place: dict[str, Any] | list[Any], key: str, said: str) -> Any:
    """A field of a mapping, or the number of an item of a list, counted from 0; `said` opens the error."""
    if isinstance(place, dict):
        return key
    if key.isdecimal() and int(key) < len(place):
        return int(key)
    field = said.rpartition(" ")[2]
    known = f"{field}.0" if len(place) == 1 else f"{field}.0 to {field}.{len(place) - 1}"
    raise BadInput(f"{said} is a list; write {known} for its items, or {field}=[…] for all of it")


def explained(error: ValidationError, origin: str, root: type[BaseModel]) -> BadInput:
    """What is wrong with the fields of a `root`, one line each; `origin` opens each."""
    lines = [_explain_one(item, root) for item in error.errors(include_url=False)]
    return BadInput("\n".join(f"{origin}: {line}" for line in lines))


def _explain_one(item: Any, root: type[BaseModel]) -> str:
    location = [part for part in item["loc"] if not _is_union_tag(part)]
    dotted = ".".join(str(part) for part in location)
    if item["type"] == "extra_forbidden":
        known = known_fields(location[:-1], root)
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"{dotted}: unknown key; {fix}"
    if item["type"] == "missing":
        return f"{dotted}: missing; add it"
    if item["type"] == "union_tag_not_found":
        return f"{dotted}: missing 'source'; one of scenes, table, emoji"
    message = "it takes a list: […]" if item["type"] == "tuple_type" else item["msg"].removeprefix("Value error, ")
    if _has_mappings(item["input"]):  # a section, or the whole study: what it holds is long, and its field says enough
        return f"{dotted}: {message}" if dotted else message
    return f"{dotted}: {item['input']!r} is wrong: {message}"


def _has_mappings(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list | tuple) and any(map(_has_mappings, value)))


def _is_union_tag(part: Any) -> bool:
    return (
        str(part) in ("scenes", "table", "emoji", "one", "list", "by_layer")
        or "[" in str(part)
        or str(part).startswith("function-")
    )


def known_fields(location: Sequence[Any], root: type[BaseModel] = Study) -> list[str]:
    """The keys that the section at `location` knows, in the order they are declared."""
    models: list[type[BaseModel]] = [root]
    for part in location:
        if isinstance(part, int):  # an item of a list, whose fields are those of every other
            continue
        models = [
            inner
            for model in models
            if part in model.model_fields
            for inner in _models_in(model.model_fields[str(part)].annotation)
        ]
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is not None or isinstance(annotation, type(Union[int, str])):  # noqa: UP007
        return [model for part in get_args(annotation) for model in _models_in(part)]
    return []
