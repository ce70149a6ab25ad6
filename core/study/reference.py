"""The reference of a study's fields, out of the model itself: `python -m core.study.reference > docs/study.md`."""

import json
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from core.study.model import Study

_HEAD = """# Writing a study

A study is one YAML file: everything that decides a result stands in it, and nothing else does. Start from one of
`deployments/studies/`, change what you need, and ask `saeflow plan my-study.yaml` what that means. A single field can
be changed for one run with `--set section.key=value`. Errors name the field, the value and the mend.

Relative paths start at the study file's folder, then at the working directory, then at `deployments/studies`.

## Where the old scripts' settings went

| in the old scripts | here |
|---|---|
| batch size of the extraction | `capture.token_budget`, or `capture.batch_size` |
| checkpoint every 50 samples | `capture.checkpoint_every: 50` |
| batch size of SAE training, 256 | `sae.batch_size: 256` |
| epochs, expansion factor, k | `sae.epochs`, `sae.expansion`, `sae.k` |
| a job a range of layers | `capture.layers`: `all`, `[0, 9]` or `"0-10,20-33"`; one pass serves them all |
| experiment name | `tracking.experiment` |
"""


def reference() -> str:
    """The Markdown page."""
    lines = [_HEAD, *_section("The study", Study, "")]
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, model: type[BaseModel], prefix: str) -> Iterator[str]:
    yield f"\n## {title}\n\n{' '.join((model.__doc__ or '').split())}\n"
    yield "| field | type | default | |"
    yield "|---|---|---|---|"
    inner: list[tuple[str, type[BaseModel], str]] = []
    for name, field in model.model_fields.items():
        models = _models_in(field.annotation)
        yield f"| `{name}` | {_kind(field, models)} | {_default(field, models)} | {_sentence(field)} |"
        for found in models:
            tag = f" ({found.__name__})" if len(models) > 1 else ""
            inner.append((f"`{prefix}{name}`{tag}", found, f"{prefix}{name}."))
    for heading, found, below in inner:
        yield from _section(heading, found, below)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _kind(field: FieldInfo, models: list[type[BaseModel]]) -> str:
    if models:
        return "section" + (" or null" if type(None) in get_args(field.annotation) else "")
    return _type_name(field.annotation).replace("|", "\\|")


def _type_name(annotation: Any) -> str:
    parts = get_args(annotation)
    if annotation is type(None):
        return "null"
    if annotation is Ellipsis:
        return "…"
    if get_origin(annotation) is None:
        return annotation.__name__ if isinstance(annotation, type) else str(annotation)
    origin = get_origin(annotation)
    if origin is tuple:
        return "list"
    if origin is Union or str(origin) == "<class 'types.UnionType'>":
        return " | ".join(_type_name(part) for part in parts)
    if all(isinstance(part, str) for part in parts):
        return " | ".join(str(part) for part in parts)
    return _type_name(parts[0])


def _default(field: FieldInfo, models: list[type[BaseModel]]) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if models:
        return ""
    return f"`{json.dumps(field.default, ensure_ascii=False)}`"


def _sentence(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201  # a command's answer
