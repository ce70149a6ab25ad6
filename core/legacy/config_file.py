"""An old `configs/config.yaml` as a study: what it says in the fields used here, and notes of what it cannot say."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from core.errors import BadInput
from core.legacy.config_keys import AS_HERE, COPIED, LEFT, SAE_COPIED, SAE_SECTIONS, SPARSITY
from core.legacy.config_sae import choose_kind, sparsity_setting
from core.legacy.converted import Converted
from core.planning.loading import parse_study

_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_PROMPTS = {"data.english_prompt": "model.instruction_en", "data.arabic_prompt": "model.instruction_ar"}
_ANALYSED = ("layers.primary_analysis", "layers.analysis", "analysis.layers")
_MOST_LAYERS = 1000
_LANGUAGE_KEYS = ("languages", "data.languages")
_LANGUAGES = {"english": "caption_en", "en": "caption_en", "arabic": "caption_ar", "ar": "caption_ar"}


def convert_config(path: Path) -> Converted:
    """Read the old file and rewrite it; the result is a valid study.

    Raises:
        BadInput: the file is no YAML mapping, names no model, is a study already, or a value is of the wrong kind.
    """
    try:
        old = _once(path, _flat(_read(path)))
    except RecursionError as error:
        raise BadInput(f"{path}: an anchor (&) refers to itself, or sections lie too deep; write the values") from error
    if any(key.startswith("capture.") for key in old) or "data.source" in old:
        raise BadInput(f"{path}: is a study already; `saeflow plan {path}` shows what it means")
    _ranges(old)
    made = Converted()
    made.study = {"name": _name(path, old), "data": {"source": "table"}, "model": {}, "capture": {}, "sae": {}}
    sparsity: dict[str, Any] = {}
    for key in sorted(old, key=_rank):
        value = old[key]
        if isinstance(value, str) and "${" in value:
            made.decide.append(f"{key} is {value!r}: write the value that it stands for")
        elif not _special(made, key, value, old) and not sparsity_setting(made, sparsity, key, value):
            _copy(made, key, value)
    choose_kind(made, sparsity)
    _table(made, old)
    if "path" not in made.study["model"]:
        raise BadInput(f"{path}: {_no_model(old)}")
    made.study = {section: value for section, value in made.study.items() if value != {}}
    parse_study(made.study, str(path))
    return made


def _rank(key: str) -> tuple[Any, ...]:
    """The order in which old keys are taken, whatever order the file has: of two for one field the first counts.

    Languages go first, for a column that they exclude stays out; then whatever lies deeper, as the tables list it.
    """
    section, _, name = key.rpartition(".")
    places = [
        list(names).index(one) if one in names else len(names)
        for one, names in ((key, COPIED), (section, SAE_SECTIONS), (name, SAE_COPIED), (name, SPARSITY))
    ]
    return (key not in _LANGUAGE_KEYS, -key.count("."), *places, key)


def _no_model(old: Mapping[str, Any]) -> str:
    for key, new in COPIED.items():
        if new == "model.path" and "${" in str(old.get(key, "")):
            return f"{key} is {old[key]!r}, a reference that nothing here resolves; write the model's name or folder"
    return "model.name is missing; a study needs a model"


def _read(path: Path) -> Mapping[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not valid YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(raw, Mapping):
        raise BadInput(f"{path}: holds {type(raw).__name__}; a configuration is a mapping of sections")
    return raw


def _flat(raw: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in raw.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{dotted}.")
        elif value is not None:
            yield dotted, _number(value)


def _once(path: Path, items: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    """By dotted key; `model.name: x` may stand beside `model: {name: x}`."""
    found: dict[str, Any] = {}
    for key, value in items:
        if found.setdefault(key, value) != value:
            raise BadInput(f"{path}: {key} is {found[key]!r} and {value!r}; keep the right one")
    return found


def _ranges(old: dict[str, Any]) -> None:
    """Layers by start, end and step, as Python's range takes them."""
    for key in [key for key, new in COPIED.items() if new == "capture.layers"]:
        ends: list[Any] = [
            old.get(f"{key}.{part}", default) for part, default in (("start", 0), ("end", None), ("step", 1))
        ]
        if all(isinstance(part, int) for part in ends) and ends[2] > 0 and key not in old:
            old[key] = list(range(*ends))[:_MOST_LAYERS]
            for part in ("start", "end", "step"):
                old.pop(f"{key}.{part}", None)


def _number(value: Any) -> Any:
    """YAML 1.1 reads 5e-4 as text; whole numbers written as 8.0 are whole."""
    if isinstance(value, list | set):
        return [_number(item) for item in (value if isinstance(value, list) else sorted(value, key=str))]
    if isinstance(value, str) and _NUMBER.match(value.strip()):
        value = float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _name(path: Path, old: Mapping[str, Any]) -> str:
    named = (old[key] for key, new in COPIED.items() if new == "tracking.experiment" and key in old)
    name = path.stem if path.stem not in ("config", "configs", "main") else str(next(named, ""))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "converted"


def _copy(made: Converted, key: str, value: Any) -> None:
    section, _, name = key.rpartition(".")
    if key in COPIED:
        made.put(COPIED[key], value, key)
    elif section in SAE_SECTIONS and name in SAE_COPIED:
        made.put(f"sae.{SAE_COPIED[name]}", value, key)
    else:
        plain = f"sae.{name}" if section in SAE_SECTIONS else key
        reason = LEFT.get(plain) or LEFT.get(key.partition(".")[0])
        if reason is None:
            made.unknown.append(f"{key}: {value!r}")
        elif plain not in AS_HERE or value != AS_HERE[plain]:
            made.left.append(f"{key}: {value!r}: {reason}")


def _special(made: Converted, key: str, value: Any, old: Mapping[str, Any]) -> bool:
    """Settings that are more than copied; whether this was one."""
    if key in ("model.dtype", "model.torch_dtype", "dtype"):
        _dtype(made, key, value)
    elif key in _PROMPTS:
        _prompt(made, key, str(value))
    elif key in _ANALYSED:
        _analysed(made, key, value, old)
    elif key == "steering.strengths":
        made.put("analyses.amplification.doses", value, key)
        made.decide.append("analyses.amplification.doses: here multiples of a feature's 99.5th percentile when active")
    elif key in _LANGUAGE_KEYS:
        _languages(made, key, value)
    elif key == "seed":
        made.put("data.seed", value, key)
        made.put("sae.seed", value, key)
    elif key in ("data.val_split", "data.test_split", "data.train_split"):
        made.decide.append(
            f"data.splits: the old {key} was {value!r}; here images are split into train, select and test"
        )
    else:
        return False
    return True


def _prompt(made: Converted, key: str, value: str) -> None:
    if "<" in value or "{" in value:
        made.decide.append(f"{_PROMPTS[key]}: {value!r} has a template in it; the model's own is used, write the words")
    else:
        made.put(_PROMPTS[key], value, key)


def _languages(made: Converted, key: str, value: Any) -> None:
    """Captions of a language that is not listed are not read."""
    named = {_LANGUAGES.get(str(one).lower()) for one in (value if isinstance(value, list) else [value])}
    if named <= {None}:
        made.decide.append(f"{key}: {value!r} names neither english nor arabic; captions of both are expected")
        return
    for language, column in (("english", "caption_en"), ("arabic", "caption_ar")):
        if column not in named:
            made.put(f"data.columns.{column}", None, key)
            made.left.append(f"{key}: {value!r}: no {language} captions are read")


def _dtype(made: Converted, key: str, value: Any) -> None:
    named = str(value).removeprefix("torch.")
    if named in ("float32", "bfloat16"):
        made.put("model.compute_dtype", named, key)
    else:
        made.put("model.compute_dtype", "bfloat16", key)
        made.decide.append(
            f"model.compute_dtype: {key} was {value!r}; bfloat16 is written, for Gemma 3 overflows float16"
        )


def _analysed(made: Converted, key: str, value: Any, old: Mapping[str, Any]) -> None:
    captured = next((old[one] for one, new in COPIED.items() if new == "capture.layers" and one in old), None)
    layers = value if isinstance(value, list) else [value]
    if not all(isinstance(layer, int) and not isinstance(layer, bool) for layer in layers):
        made.decide.append(f"{key}: {value!r} is no list of layer numbers; left out")
        return
    wanted = [layer for layer in layers if not isinstance(captured, list) or layer in captured]
    if wanted != layers:
        made.decide.append(f"{key}: {sorted(set(layers) - set(wanted))} are not among the captured layers; left out")
    for analysis in ("ablation", "amplification", "visual_patterns") if wanted else ():
        made.put(f"analyses.{analysis}.layers", wanted, key)
    if wanted:
        made.put("analyses.qualitative.layer", wanted[len(wanted) // 2], key)


def _table(made: Converted, old: Mapping[str, Any]) -> None:
    """Where the captions are; no old file has the columns' names."""
    if "path" not in made.study["data"]:
        folder = old.get("paths.processed_data") or old.get("data.processed_dir")
        folder = None if "${" in str(folder) else folder  # a note says so already
        made.put("data.path", f"{str(folder).rstrip('/')}/samples.csv" if folder else "captions.csv")
    made.decide.append(
        f"data.path: {made.study['data']['path']} is looked for from the study file's folder; columns image, "
        "caption_en and caption_ar are expected (data.columns names others), pictures relative to the table"
    )
