"""The autoencoders that SAELens lists in `pretrained_saes.yaml`, read without importing it.

Releases name some SAEs twice (`gemma-scope-2b-pt-res` and its `-canonical`): one folder of one repository is one entry,
with what any of them states of it.
"""

import importlib.util
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from core.concepts.registry import Format, SAEEntry, parse_entry, read_yaml
from core.concepts.registry_entries import Found, Wanted, spelt_width, stated_l0
from core.errors import BadInput
from core.sae.origins import gemma_scope_place, hook_place
from core.sae.places import HUB
from core.study.sites import Site

LISTING = "pretrained_saes.yaml"
_FORMATS: Mapping[str | None, Format] = {None: "sae_lens", "gemma_2": "gemma_scope", "gemma_3": "gemma_scope_2"}
"""Our names of what SAELens calls `conversion_func`: the layouts that are read here."""
_SCOPE_2_HOOKS = {"resid_post": "hook_resid_post", "attn_out": "attn.hook_z", "mlp_out": "hook_mlp_out"}
_TELL = frozenset({"dataset_path", "model_name", "hook_name"})
# blocks.8.hook_resid_pre of blocks.8.hook_resid_pre_768
_HOOK = re.compile(r"blocks\.\d+\.(?:attn\.|mlp\.)?hook_[a-z]+(?:_[a-z]+)*")
_WIDTHS = re.compile(r"(?:^|[-_/])(?:width_|w-)?(\d+[km]|\d{4,7})(?=$|[-_/])", re.IGNORECASE)


@dataclass(frozen=True)
class _Listed:
    """One SAE of a release: `release` is its name, `about` what holds for all its SAEs."""

    release: str
    about: Mapping[str, Any]
    sae: Mapping[str, Any]

    @property
    def repository(self) -> str:
        return str(self.about["repo_id"])

    @property
    def path(self) -> str:
        return str(self.sae["path"])

    @property
    def names(self) -> tuple[str, ...]:
        """What its width and L0 may stand in, the nearest first."""
        return self.path, str(self.sae["id"]), self.repository.rpartition("/")[2], self.release

    @property
    def place(self) -> tuple[tuple[Site, ...], int | None]:
        """The sites that it may read, none where that is not one of ours, and the layer."""
        model = str(self.about["model"])
        if self.about["conversion_func"] == "gemma_2":
            return hook_place(gemma_scope_place(Path(self.repository, self.path)).hook or "", model)
        if self.about["conversion_func"] == "gemma_3":
            part, layer = self.path.partition("/")[0].removesuffix("_all"), re.search(r"layer_(\d+)", self.path)
            return hook_place(f"blocks.{layer[1] if layer else ''}.{_SCOPE_2_HOOKS.get(part, part)}", model)
        hook = _HOOK.search(str(self.sae["id"]))
        return hook_place(hook[0] if hook else "", model)

    @property
    def width(self) -> int | None:
        """Its number of features, where a name says it."""
        found = (spelt_width(match) for name in self.names for match in _WIDTHS.findall(name))
        return next((width for width in found if width is not None), None)

    @property
    def l0(self) -> float | None:
        """Its L0, where the listing or a name says it."""
        stated = self.sae.get("l0", self.sae.get("expected_l0"))
        return float(stated) if stated else stated_l0(*self.names)

    def unread(self) -> str | None:
        """Why it cannot be read here; null where nothing says so."""
        if self.about["conversion_func"] not in _FORMATS:
            return f"in the layout {self.about['conversion_func']}, which is not read here"
        changes = sorted(set(self.about.get("config_overrides") or {}) - _TELL)
        if self.sae.get("norm_scaling_factor") or changes:
            return f"SAELens changes what it computes when it loads it ({', '.join(changes) or 'norm_scaling_factor'})"
        return "one file, not a folder" if Path(self.path).suffix in (".pt", ".pth", ".safetensors") else None


def installed_listing() -> Path:
    """The listing of the SAELens that is installed, which is not imported.

    Raises:
        BadInput: it is not installed, or has no listing.
    """
    package = importlib.util.find_spec("sae_lens")
    path = Path(package.origin).with_name(LISTING) if package is not None and package.origin else None
    if path is None or not path.is_file():
        raise BadInput(
            f"SAELens is not installed here: name its {LISTING} (--listing), which its wheel holds (`pip download "
            "--no-deps sae-lens`), or `pip install --no-deps sae-lens`"
        )
    return path


def saelens_entries(path: Path, wanted: Wanted, release: str = "*") -> Found:
    """The wanted autoencoders of the releases whose name matches `release`.

    Raises:
        BadInput: the listing cannot be read, or names no such model.
    """
    releases = _read(path)
    if wanted.model is None:
        raise BadInput(f"{path.name}: name the model (--model), one of {', '.join(_models(releases))}")
    of_model = {name: about for name, about in releases.items() if wanted.has_model(str(about["model"]))}
    if not of_model:
        raise BadInput(f"{path.name}: no SAEs of {wanted.model}; it has those of {', '.join(_models(releases))}")
    chosen = {name: about for name, about in of_model.items() if fnmatchcase(name, release)}
    if not chosen:
        raise BadInput(f"{path.name}: no release {release!r} of {wanted.model}; it has {', '.join(of_model)}")
    found: dict[tuple[str, str], SAEEntry] = {}
    left_out: Counter[str] = Counter()
    for listed in _each(chosen):
        entry = _entry(listed, wanted)
        if isinstance(entry, str):
            left_out[entry] += 1
        else:
            place = listed.repository, listed.path
            found[place] = _both(found[place], entry) if place in found else entry
    model = next(str(about["model"]) for about in chosen.values())
    kept = {place: entry for place, entry in found.items() if wanted.has(entry)}
    return Found(model, tuple(_with_keys(kept)), len(found) - len(kept), left_out)


def _read(path: Path) -> Mapping[str, Any]:
    content = read_yaml(path)
    releases = content.values() if isinstance(content, Mapping) else ()
    if not releases or not all(map(_is_release, releases)):
        raise BadInput(f"{path}: not SAELens' {LISTING}: releases with repo_id, model and saes (SAELens 6)")
    return {str(name): {"conversion_func": None, **about} for name, about in content.items()}


def _is_release(about: object) -> bool:
    if not isinstance(about, Mapping) or not {"repo_id", "model", "saes"} <= about.keys():
        return False
    return all(isinstance(sae, Mapping) and {"id", "path"} <= sae.keys() for sae in about["saes"] or ())


def _models(releases: Mapping[str, Any]) -> list[str]:
    return sorted({str(about["model"]) for about in releases.values()})


def _each(releases: Mapping[str, Any]) -> Iterator[_Listed]:
    for name, about in releases.items():
        yield from (_Listed(name, about, sae) for sae in about["saes"] or ())


def _entry(listed: _Listed, wanted: Wanted) -> SAEEntry | str:
    """The entry, its key still its path; or why there is none."""
    if reason := listed.unread():
        return reason
    (sites, layer), width = listed.place, listed.width
    if not sites or layer is None:
        return "it reads none of the sites here (an embedding, a transcoder's input, the middle of a block)"
    if width is None:
        return "its width stands in no name; fetch it and use --folder"
    raw = {
        "key": listed.path,
        "layer": layer,
        "site": wanted.site_among(sites),
        "width": width,
        "l0": listed.l0,
        "format": _FORMATS[listed.about["conversion_func"]],
        "path": f"{HUB}{listed.repository}/{listed.path}",
        "neuronpedia": listed.sae.get("neuronpedia"),
    }
    return parse_entry(raw, f"{listed.release}, {listed.sae['id']}")


def _both(first: SAEEntry, second: SAEEntry) -> SAEEntry:
    """What two releases say of one SAE; where both say something the first counts."""
    said = {name: getattr(first, name) or getattr(second, name) for name in ("l0", "neuronpedia")}
    return first.model_copy(update=said)


def _with_keys(found: Mapping[tuple[str, str], SAEEntry]) -> Iterator[SAEEntry]:
    """Keys are paths within the repository; of several repositories their names stand before."""
    several = len({repository for repository, _ in found}) > 1
    for (repository, path), entry in found.items():
        yield entry.model_copy(update={"key": f"{repository}/{path}" if several else path})
