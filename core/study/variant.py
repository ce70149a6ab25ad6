"""What sets a variant apart from the study of the same name, and what it is called for it.

A study is handled here as nested dictionaries (`model_dump`), for reports and records have no more of it.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

DOT = " · "
_LONGEST_TITLE, _LONGEST_FOLDER = 60, 80
_NAMELESS = re.compile(
    r"(name|description|variant|strict|tracking\..*|sae\.checkpoint_every|block|embedders\.[^.]+\.batch"
    r"|(capture|fragments)\.(token_budget|batch_size|checkpoint_every)"
    r"|profiles\.[^.]+\.(?!url$|model$|pictures$).*)"
)
"""Fields that decide how a study or a scan is called, kept, stopped or how fast it runs, and none of its results."""
PLACES = ("data.path", "model.path", "capture.precomputed", "sae.pretrained", "sae.beside")
"""Fields that say where something lies; what lies there decides results, and the place none."""
_LEFT_OUT: dict[str, Any] = {
    "concepts": [],
    "sae.frozen": False,
    "sae.l1_coefficient": None,
    "analyses.ablation.captions": 0,
    "analyses.ablation.curve": False,
    "analyses.ablation.lexicon": False,
    "analyses.ablation.professions": False,
    "analyses.amplification.logistic": 0,
    "analyses.amplification.max_new_tokens": 24,
    "analyses.amplification.prompting": {},
    "analyses.amplification.random_curves": 2,
    "analyses.amplification.vectors": False,
    "analyses.amplification.written": 0,
    "analyses.amplification.written_random": 2,
    "analyses.causal_map.professions": False,
    "analyses.causal_map.second_features": None,
    "analyses.contrast.interventions": None,
    "analyses.interactions.professions": False,
    "analyses.interactions.second_features": None,
    "analyses.overview.maximum": False,
    "analyses.overview.professions": False,
    "analyses.visual_patterns.clusters": 0,
}
"""Fields that a study leaves out where they have this value, so that studies from before them stay what they are."""
_ANALYSES = "analyses."
"""Here a study leaves out what it does not ask for and what is null by default."""
_NEXT = re.compile(r", (?=[\w.]+=)")
_UNSAFE = re.compile(r"[^A-Za-z0-9._=,-]+")


def settings(study: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that decide a study's results, as `{"sae.k": 64}`; an empty section stays one value."""
    return {field: value for field, value in _leaves(study) if not _NAMELESS.fullmatch(field)}


def _leaves(section: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in section.items():
        inner = isinstance(value, Mapping) and value
        found += _leaves(value, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", value)]
    return found


def differences(own: Mapping[str, Any], changed: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The fields of `changed` that decide its results and are another value in `own`; a section that is null in one of
    the two is one value."""
    found: dict[str, Any] = {}
    for key, value in changed.items():
        field = f"{prefix}{key}"
        before = own.get(key, _LEFT_OUT.get(field, None if prefix == _ANALYSES else {}))
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            found |= differences(before, value, f"{field}.")
        elif value != before and not _NAMELESS.fullmatch(field):
            found[field] = value
    gone = [f"{prefix}{key}" for key in own if key not in changed]
    asked_no_more = {field: None for field in gone if prefix == _ANALYSES}
    return found | asked_no_more | {field: _LEFT_OUT[field] for field in gone if field in _LEFT_OUT}


def variant_of(own: Mapping[str, Any], changed: Mapping[str, Any]) -> str:
    """`sae.k=32, capture.layers=0-3`: what `changed` sets otherwise than `own`, which may be a variant itself."""
    new = {field: f"{field}={shown(value)}" for field, value in differences(own, changed).items()}
    before = {part.partition("=")[0]: part for part in _NEXT.split(str(own.get("variant") or "")) if part}
    return ", ".join((before | new).values())


def without_places(variant: str) -> str:
    """A variant's settings that are no places: no result depends on where something lay."""
    kept = [part for part in _NEXT.split(variant) if not part.startswith(PLACES)]
    return ", ".join(kept)


def shown(value: Any) -> str:
    """A value in a line: layers as ranges, of a path its last part."""
    if isinstance(value, str):
        last = value.rstrip("/").rpartition("/")[2] if "/" in value else value
        return " ".join(last.split())
    if isinstance(value, list | tuple) and len(value) > 2 and all(type(item) is int for item in value):
        return _ranges(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _ranges(numbers: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def title(study: Mapping[str, Any]) -> str:
    """`demo · sae.k=32`, or the name alone; a report of one layer says so."""
    layer = [] if study.get("layer") is None else [f"layer {study['layer']}"]
    return DOT.join(filter(None, (str(study["name"]), _short(str(study.get("variant") or "")), *layer)))


def _short(variant: str) -> str:
    """As many settings as fit in a title, and how many more there are."""
    parts = _NEXT.split(variant)
    kept: list[str] = []
    while parts and len(", ".join([*kept, parts[0]])) <= _LONGEST_TITLE:
        kept.append(parts.pop(0))
    if not parts:
        return variant
    if not kept:
        kept.append(f"{parts.pop(0)[: _LONGEST_TITLE - 1]}…")
    more = f" and {len(parts)} more" if parts else ""
    return f"{', '.join(kept)}{more} ({_mark(variant)})"


def folder(study: Mapping[str, Any]) -> str:
    """`demo+sae.k=32`: a name for a folder and for the command line; no study's own name has a plus."""
    variant = str(study.get("variant") or "")
    plain = "+".join(_UNSAFE.sub("_", part) for part in variant.split(", "))
    if plain != variant.replace(", ", "+") or "+" in variant or len(plain) > _LONGEST_FOLDER:
        plain = f"{plain[: _LONGEST_FOLDER - 9]}-{_mark(variant, 8)}"
    layer = [] if study.get("layer") is None else [f"layer={study['layer']}"]
    return "+".join(filter(None, (str(study["name"]), plain, *layer)))


def _mark(variant: str, length: int = 4) -> str:
    return hashlib.sha256(variant.encode()).hexdigest()[:length]


def is_called(asked: str, study: Mapping[str, Any]) -> bool:
    """Whether `asked` is the study's title, full or shortened, with or without spaces, or its folder's name."""
    whole = DOT.join(filter(None, (str(study["name"]), str(study.get("variant") or ""))))
    names = (title(study), folder(study), *([whole] if study.get("layer") is None else []))
    return _bare(asked) in map(_bare, names)


def _bare(text: str) -> str:
    return re.sub(r"\s*([·,])\s*", r"\1", text.strip())
