"""From a YAML file, a name or a mapping to a `Study`, with errors that name the field, the value and the fix."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from core.errors import BadInput
from core.planning.study import Study


def find_study(name: str, folders: Sequence[Path]) -> Path:
    """The study file that `name` means: a path below one of `folders`, with or without `.yaml`.

    Raises:
        BadInput: there is no such file; the message lists the nearest names.
    """
    candidates = [folder / (name + ending) for folder in folders for ending in ("", ".yaml", ".yml")]
    for path in candidates:
        if path.is_file():
            return path.resolve()
    known = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    near = difflib.get_close_matches(Path(name).stem, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; studies here: {', '.join(known) or 'none'}"
    raise BadInput(f"study {name!r}: no such file in {', '.join(str(folder) for folder in folders)}{hint}")


def load_study(path: Path, overrides: Iterable[str] = ()) -> Study:
    """Read a study file and apply `section.key=value` overrides to it.

    Raises:
        BadInput: the file is no YAML mapping, or a field is wrong.
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
        raise BadInput(f"{path.name}: a study is a mapping of sections (name, data, model, …)")
    for override in overrides:
        _override(raw, override)
    return parse_study(raw, path.name)


def parse_study(raw: Mapping[str, Any], origin: str) -> Study:
    """Validate a mapping as a study; `origin` opens the error message.

    Raises:
        BadInput: one line a wrong field.
    """
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        raise BadInput("\n".join(f"{origin}: {line}" for line in _explain(error))) from error


def _override(raw: dict[str, Any], text: str) -> None:
    dotted, equals, value = text.partition("=")
    if not equals or not dotted:
        raise BadInput(f"--set {text!r}: write section.key=value, for example sae.k=64")
    *sections, key = dotted.strip().split(".")
    place = raw
    for section in sections:
        inner = place.get(section)
        place[section] = dict(inner) if isinstance(inner, dict) else {}
        place = place[section]
    try:
        place[key] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise BadInput(f"--set {text!r}: the value is not valid YAML") from error


def _explain(error: ValidationError) -> list[str]:
    return [_explain_one(item) for item in error.errors(include_url=False)]


def _explain_one(item: Any) -> str:
    location = [part for part in item["loc"] if not _is_union_tag(part)]
    dotted = ".".join(str(part) for part in location)
    if item["type"] == "extra_forbidden":
        known = known_fields(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"{dotted}: unknown key; {fix}"
    if item["type"] == "missing":
        return f"{dotted}: missing; add it"
    if item["type"] == "union_tag_not_found":
        return f"{dotted}: missing 'source'; one of scenes, table, emoji"
    message = item["msg"].removeprefix("Value error, ")
    return f"{dotted}: {item['input']!r} is wrong: {message}"


def _is_union_tag(part: Any) -> bool:
    return (
        str(part) in ("scenes", "table", "emoji", "one", "list", "by_layer")
        or "[" in str(part)
        or str(part).startswith("function-")
    )


def known_fields(location: Sequence[Any]) -> list[str]:
    """The keys that the section at `location` knows, in the order they are declared."""
    models: list[type[BaseModel]] = [Study]
    for part in location:
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
