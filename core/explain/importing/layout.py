"""Where an older pipeline's folder has its explanations, scores and similarities."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import BadInput, first_line

_FILE = re.compile(r"^\.?(?P<hook>.*?)_?(?:latent|feature)_?(?P<feature>\d+)$")
"""`layers.30_latent877.txt`, `.transformer.h.0_feature12.txt`."""
_ENDINGS = (".txt", ".json")
HOLDS = (
    "explanations/*.txt of a source (itself, SOURCE/, raw/SOURCE/), scores/SOURCE/scores.json, "
    "feature_similarity/SAE/feature_similarities.json, or the Parquet tables of older versions (itself or master/)"
)


@dataclass(frozen=True)
class Source:
    """A folder of raw results, `llama_e-llama_s`: explanations by one model, scored by another."""

    name: str
    folder: Path
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def explainer(self) -> str:
        """`llama_e` of `llama_e-llama_s-16k`."""
        return self.name.split("-")[0]

    @property
    def scorer(self) -> str:
        """`llama_s` of `llama_e-llama_s-16k`; the explainer where no scorer is named."""
        parts = self.name.split("-")
        return parts[1] if len(parts) > 1 else parts[0]

    def sae_id(self, hook: str) -> str:
        """`sparse_model/hookpoint` of its run_config.json, the hookpoint being that of the file."""
        model = str(self.config.get("sparse_model") or "")
        hooks = self.config.get("hookpoints") or []
        hook = hook or (str(hooks[0]) if isinstance(hooks, list) and hooks else "")
        return "/".join(part for part in (model, hook) if part) or self.name


@dataclass(frozen=True)
class Layout:
    """What a folder holds: sources of raw results, summaries of scores by source, similarities, and Parquet tables."""

    sources: tuple[Source, ...]
    summaries: tuple[Path, ...]
    similarities: tuple[Path, ...]
    tables: tuple[Path, ...]


def find_layout(folder: Path) -> Layout:
    """What the folder holds.

    Raises:
        BadInput: it does not exist or holds none of the layouts, or a run_config.json is damaged.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: is no folder; name the one that holds {HOLDS}")
    raw = [folder, *_folders(folder), *_folders(folder / "raw")]
    layout = Layout(
        tuple(_source(place) for place in raw if (place / "explanations").is_dir() or _has_raw_scores(place)),
        tuple(path for place in (folder, folder / "scores") for path in sorted(place.glob("*/scores.json"))),
        tuple(sorted(folder.glob("feature_similarity/*/feature_similarities.json")))
        + tuple(path for path in (folder / "feature_similarities.json",) if path.is_file()),
        tuple(path for place in (folder, folder / "master") for path in sorted(place.glob("*.parquet"))),
    )
    if not (layout.sources or layout.summaries or layout.similarities or layout.tables):
        raise BadInput(f"{folder}: holds nothing that can be imported; looked for {HOLDS}")
    return layout


def numbered(folder: Path) -> list[tuple[int, str, Path]]:
    """The files that are of one feature each, by feature: its number, its hookpoint, the file."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        named = _FILE.match(path.name.removesuffix(path.suffix)) if path.suffix in _ENDINGS else None
        if named is not None:
            found.append((int(named["feature"]), named["hook"], path))
    return sorted(found)


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        BadInput: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: is not JSON ({first_line(error)}); write it again or take it away") from error


def mapping(value: Any, path: Path, what: str) -> dict[str, Any]:
    """The value if it is a JSON object.

    Raises:
        BadInput: it is not.
    """
    if not isinstance(value, dict):
        raise BadInput(f"{path}: {what} is no object; write the file again or take it away")
    return value


def _has_raw_scores(place: Path) -> bool:
    """Whether there is a folder of score files below `scores/`; `scores/SOURCE/scores.json` is a summary instead."""
    return any(numbered(method) for method in _folders(place / "scores"))


def _source(place: Path) -> Source:
    config = place / "run_config.json"
    return Source(place.resolve().name, place, mapping(read_json(config), config, "it") if config.is_file() else {})


def _folders(place: Path) -> Iterable[Path]:
    return [path for path in sorted(place.iterdir()) if path.is_dir()] if place.is_dir() else []
