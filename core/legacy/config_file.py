"""An old `configs/config.yaml` as a study: what it says in the fields used here, and notes of what it cannot say."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from core.errors import BadInput
from core.legacy.config_keys import ARCHITECTURES, AS_HERE, COPIED, LEFT, SAE_COPIED, SAE_SECTIONS, SPARSITY
from core.study import parse_study

_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_PROMPTS = {"data.english_prompt": "model.instruction_en", "data.arabic_prompt": "model.instruction_ar"}
_ANALYSED = ("layers.primary_analysis", "layers.analysis", "analysis.layers")
_MOST_LAYERS = 1000
_LANGUAGES = {"english": "caption_en", "en": "caption_en", "arabic": "caption_ar", "ar": "caption_ar"}


class _Dumper(yaml.SafeDumper):
    """Lists in one line."""

    def ignore_aliases(self, data: object) -> bool:
        """No anchors."""
        return True


_Dumper.add_representer(list, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, True))


@dataclass
class Converted:
    """The study's fields, what the user has to decide, what has no place here and why, and keys that nobody knows."""

    study: dict[str, Any] = field(default_factory=dict)
    decide: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def put(self, key: str, value: Any) -> None:
        """Set the field with this dotted name."""
        *sections, last = key.split(".")
        place = self.study
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value

    def text(self, origin: str) -> str:
        """The study file, the notes as comments before it."""
        notes = [("to decide", self.decide), ("unknown, and left out", self.unknown), ("has no place here", self.left)]
        lines = [f"# {origin}, rewritten by `saeflow convert-config`."]
        for heading, told in notes:
            lines += [f"# {heading}: {_one_line(line)}" for line in told]
        study = yaml.dump(self.study, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
        return "\n".join(lines) + "\n" + study


def _one_line(text: str) -> str:
    """A comment ends where YAML sees a line end, of which it knows more than one."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def convert_config(path: Path) -> Converted:
    """Read the old file and rewrite it; the result is a valid study.

    Raises:
        BadInput: the file is no YAML mapping, names no model, is a study already, or a value is of the wrong kind.
    """
    try:
        old = dict(_flat(_read(path)))
    except RecursionError as error:
        raise BadInput(f"{path}: an anchor (&) refers to itself, or sections lie too deep; write the values") from error
    if any(key.startswith("capture.") for key in old) or "data.source" in old:
        raise BadInput(f"{path}: is a study already; `saeflow plan {path}` shows what it means")
    _ranges(old)
    made = Converted()
    made.study = {"name": _name(path, old), "data": {"source": "table"}, "model": {}, "capture": {}, "sae": {}}
    sparsity: dict[str, Any] = {}
    for key, value in old.items():
        if isinstance(value, str) and "${" in value:
            made.decide.append(f"{key} is {value!r}: write the value that it stands for")
        elif not _special(made, key, value, old) and not _sparsity(sparsity, key, value):
            _copy(made, key, value)
    _sae_kind(made, sparsity)
    _table(made, old)
    if "path" not in made.study["model"]:
        raise BadInput(f"{path}: {_no_model(old)}")
    made.study = {section: value for section, value in made.study.items() if value != {}}
    parse_study(made.study, str(path))
    return made


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


def _ranges(old: dict[str, Any]) -> None:
    """Layers told by start, end and step, as Python's range takes them."""
    for key in [key for key, new in COPIED.items() if new == "capture.layers"]:
        told: list[Any] = [
            old.get(f"{key}.{part}", default) for part, default in (("start", 0), ("end", None), ("step", 1))
        ]
        if all(isinstance(part, int) for part in told) and told[2] > 0 and key not in old:
            old[key] = list(range(*told))[:_MOST_LAYERS]
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
    told = path.stem if path.stem not in ("config", "configs", "main") else ""
    told = told or str(
        next((old[key] for key, new in COPIED.items() if new == "tracking.experiment" and key in old), "")
    )
    return re.sub(r"[^A-Za-z0-9._-]+", "-", told).strip("-._") or "converted"


def _copy(made: Converted, key: str, value: Any) -> None:
    section, _, name = key.rpartition(".")
    if key in COPIED:
        made.put(COPIED[key], value)
    elif section in SAE_SECTIONS and name in SAE_COPIED:
        made.put(f"sae.{SAE_COPIED[name]}", value)
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
        if "<" in str(value) or "{" in str(value):
            made.decide.append(
                f"{_PROMPTS[key]}: {value!r} has a template in it; the model's own is used, write the words"
            )
        else:
            made.put(_PROMPTS[key], str(value))
    elif key in _ANALYSED:
        _analysed(made, key, value, old)
    elif key == "steering.strengths":
        made.put("analyses.amplification.doses", value)
        made.decide.append("analyses.amplification.doses: here multiples of a feature's 99.5th percentile when active")
    elif key in ("languages", "data.languages"):
        named = {_LANGUAGES.get(str(one).lower()) for one in (value if isinstance(value, list) else [value])}
        if named <= {None}:
            made.decide.append(f"{key}: {value!r} names neither english nor arabic; captions of both are expected")
            return True
        for language, column in (("english", "caption_en"), ("arabic", "caption_ar")):
            if column not in named:
                made.put(f"data.columns.{column}", None)
                made.left.append(f"{key}: {value!r}: no {language} captions are read")
    elif key == "seed":
        made.put("data.seed", value)
        made.put("sae.seed", value)
    elif key in ("data.val_split", "data.test_split", "data.train_split"):
        made.decide.append(
            f"data.splits: the old {key} was {value!r}; here images are split into train, select and test"
        )
    else:
        return False
    return True


def _dtype(made: Converted, key: str, value: Any) -> None:
    named = str(value).removeprefix("torch.")
    if named in ("float32", "bfloat16"):
        made.put("model.compute_dtype", named)
    else:
        made.put("model.compute_dtype", "bfloat16")
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
        made.put(f"analyses.{analysis}.layers", wanted)
    if wanted:
        made.put("analyses.qualitative.layer", wanted[len(wanted) // 2])


def _sparsity(found: dict[str, Any], key: str, value: Any) -> bool:
    section, _, name = key.rpartition(".")
    if section not in SAE_SECTIONS or name not in SPARSITY:
        return False
    found[SPARSITY[name]] = value
    return True


def _sae_kind(made: Converted, told: Mapping[str, Any]) -> None:
    """Architecture, and what keeps it sparse."""
    named = ARCHITECTURES.get(str(told.get("architecture", "")).lower())
    if named is None and "architecture" in told:
        made.decide.append(f"sae.architecture: {told['architecture']!r} is none of those here")
    kind = named or ("relu" if "l1" in told else "topk" if "k" in told else None)
    if kind is None:
        made.decide.append("sae.architecture: nothing told how it was kept sparse; topk with k 64 is the default here")
    else:
        made.put("sae.architecture", kind)
    if kind == "relu" and "l1" in told:
        made.put("sae.l1_coefficient", told["l1"])
        made.decide.append(
            "sae.l1_coefficient: taken as written; here it weighs Σ f beside ‖x − x̂‖² of a row, rows scaled to a mean "
            "squared norm of D: a loss that was a mean over dimensions or features needs another value (docs/saes.md)"
        )
        if "k" in told:
            made.decide.append(
                f"sae.k: {told['k']!r} is left out, for l1_coefficient takes its place; a TopK drops the L1"
            )
    elif "k" in told:
        made.put("sae.k", told["k"])
    if "l1" in told and kind != "relu":
        made.left.append(f"sae.l1_coefficient: {told['l1']!r}: {kind} is kept sparse by k")
    if "features" in told and "expansion" not in made.study["sae"]:
        _expansion(made, told)


def _expansion(made: Converted, told: Mapping[str, Any]) -> None:
    features, width = told["features"], told.get("width")
    if isinstance(features, int) and isinstance(width, int) and width > 0 and features % width == 0:
        made.put("sae.expansion", features // width)
    else:
        made.decide.append(
            f"sae.expansion: the old SAE had {features!r} features; write how many times the model's width"
        )


def _table(made: Converted, old: Mapping[str, Any]) -> None:
    """Where the captions are; the columns' names no old file tells."""
    if "path" not in made.study["data"]:
        folder = old.get("paths.processed_data") or old.get("data.processed_dir")
        folder = None if "${" in str(folder) else folder  # told already
        made.put("data.path", f"{str(folder).rstrip('/')}/samples.csv" if folder else "captions.csv")
    made.decide.append(
        f"data.path: {made.study['data']['path']} is looked for from the study file's folder; columns image, "
        "caption_en and caption_ar are expected (data.columns names others), pictures relative to the table"
    )
