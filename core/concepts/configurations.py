"""Lists of SAEs by layer and L0, as `gemma_scope_16k_configurations.json` of older scans.

A JSON list of objects: `layer` and `average_l0` (or `l0`), and where they are stated `path` within the repository,
which may end with the file's name, `width`, `site` and `neuronpedia`.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from core.concepts.registry import FORMATS, Format, SAEEntry, parse_entry
from core.concepts.registry_entries import Found, Wanted, short_width, spelt_width
from core.errors import BadInput
from core.sae.configs import GEMMA_SCOPE
from core.sae.origins import gemma_scope_place, hook_place
from core.sae.places import HUB
from core.study.sites import Site

GEMMA_SCOPE_REPOSITORY = "google/gemma-scope-2b-pt-res"
"""The repository that such lists were written for."""
_KNOWN = frozenset({"layer", "average_l0", "l0", "path", "width", "site", "neuronpedia"})


@dataclass(frozen=True)
class Repository:
    """Where a list's paths start: `OWNER/NAME` on the hub, or a folder; with the model and site that its name says."""

    name: str
    model: str | None
    site: Site

    @classmethod
    def named(cls, name: str, wanted: Wanted) -> "Repository":
        """By its name, or where that says nothing by what is wanted."""
        place = gemma_scope_place(Path(name, "layer_0"))
        sites, _ = hook_place(place.hook or "", place.model or "")
        return cls(name, wanted.model or place.model, sites[0] if sites else wanted.site)

    def path(self, within: str) -> str:
        """Where an SAE of it lies."""
        folder = Path(self.name).expanduser()
        return str(folder.resolve() / within) if folder.is_dir() else f"{HUB}{self.name}/{within}"


def configured_entries(path: Path, wanted: Wanted, repository: str = GEMMA_SCOPE_REPOSITORY) -> Found:
    """The wanted autoencoders of a list whose paths start at `repository`.

    Raises:
        BadInput: it is no such list, an object of it is wrong, or nothing says the model.
    """
    whole = Repository.named(repository, wanted)
    if whole.model is None:
        raise BadInput(f"{repository}: its name does not say the model that its SAEs read: name it (--model)")
    entries = [_entry(f"{path.name}: object {number}", one, whole, wanted) for number, one in enumerate(_read(path))]
    return Found.of(whole.model, entries, wanted, Counter())


def _read(path: Path) -> list[Any]:
    try:
        content = json.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadInput(f"{path}: not valid JSON ({error})") from error
    if not isinstance(content, list) or not content:
        raise BadInput(f'{path}: not a list of SAEs such as [{{"layer": 0, "average_l0": 105}}]')
    return content


def _entry(where: str, one: object, repository: Repository, wanted: Wanted) -> SAEEntry:
    if not isinstance(one, Mapping) or "layer" not in one:
        raise BadInput(f"{where}: not an object that has a layer")
    if unknown := sorted(one.keys() - _KNOWN):
        raise BadInput(f"{where}: unknown field {unknown[0]!r}; known: {', '.join(sorted(_KNOWN))}")
    l0 = one.get("average_l0", one.get("l0"))
    within, format_ = _within(where, one, l0, wanted)
    raw = {"key": within, "layer": one["layer"], "site": one.get("site", repository.site), "l0": l0, "format": format_}
    width = one.get("width", _width_in(within) or wanted.width)
    if isinstance(width, str):
        width = spelt_width(width)
    if width is None:
        raise BadInput(f"{where}: nothing says its width; add it, or give --width")
    told = {"path": repository.path(within), "neuronpedia": one.get("neuronpedia")}
    return parse_entry({**raw, "width": width, **told}, where)


def _within(where: str, one: Mapping[str, Any], l0: object, wanted: Wanted) -> tuple[str, Format]:
    """The folder within the repository, and the layout that the file's name says: else Gemma Scope's."""
    stated = one.get("path")
    if stated is None:
        width = one.get("width", wanted.width)
        if l0 is None or width is None:
            raise BadInput(f"{where}: neither path, nor L0 and width, from which Gemma Scope's paths are made")
        short = short_width(width) if isinstance(width, int) else width
        sparsity = f"{l0:g}" if isinstance(l0, float) else l0
        return f"layer_{one['layer']}/width_{short}/average_l0_{sparsity}", FORMATS[GEMMA_SCOPE]
    path = PurePosixPath(str(stated))
    if path.is_absolute() or ".." in path.parts:
        raise BadInput(f"{where}: path {stated!r} leads out of the repository; write it from there on")
    format_ = FORMATS.get(path.name)
    return str(path.parent if format_ else path), format_ or FORMATS[GEMMA_SCOPE]


def _width_in(within: str) -> int | None:
    parts = (part.removeprefix("width_") for part in PurePosixPath(within).parts if part.startswith("width_"))
    return next((width for part in parts if (width := spelt_width(part))), None)
