"""The autoencoders that lie below a folder, whatever their layouts: what their files and names say of them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.concepts.registry import FORMATS, SAEEntry, parse_entry
from core.concepts.registry_entries import Found, Wanted, one_model, stated_l0
from core.errors import BadInput, first_line
from core.sae.configs import (
    CONFIG,
    GEMMA_SCOPE_2_CONFIG,
    SPARSITY,
    WEIGHT_FILES,
    read_config,
    weights_file,
)
from core.sae.origins import Trained, hook_place, read_trained


@dataclass(frozen=True)
class _Lying:
    """An SAE in a folder: its layout's weights, its number of features, and where its files say it was trained."""

    folder: Path
    weights: str
    width: int
    trained: Trained


def folder_entries(root: Path, wanted: Wanted) -> Found:
    """The wanted autoencoders below `root`; those that cannot be read, or do not say what they read, are left out.

    Raises:
        BadInput: there is no such folder, or the SAEs read several models and none is wanted.
    """
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder")
    left_out: Counter[str] = Counter()
    found: list[tuple[str, SAEEntry]] = []
    for folder in _folders(root):
        try:
            lying = _lying(folder)
            entry = _entry(lying, root, wanted)
        except BadInput as error:
            left_out[first_line(error)] += 1
            continue
        if lying.trained.model is None and wanted.model is None:
            left_out["their files do not say which model they read: name it (--model)"] += 1
        elif lying.trained.model is not None and not wanted.has_model(lying.trained.model):
            left_out[f"trained on {lying.trained.model}"] += 1
        else:
            found.append((wanted.model or str(lying.trained.model), entry))
    model = one_model((name for name, _ in found), str(root))
    return Found.of(model, [entry for _, entry in found], wanted, left_out)


def entry_of(folder: Path, known: Mapping[str, object]) -> SAEEntry:
    """An SAE whose key, layer, site and L0 are `known`, with its width, layout and path as its files say.

    Raises:
        BadInput: it cannot be read.
    """
    lying = _lying(folder)
    told = {"width": lying.width, "format": FORMATS[lying.weights], "path": str(folder.resolve())}
    return parse_entry({**known, **told}, str(folder))


def _folders(root: Path) -> Iterator[Path]:
    """Every folder that holds weights, in order of path."""
    yield from sorted({path.parent for name in WEIGHT_FILES for path in root.rglob(name) if path.is_file()})


def _lying(folder: Path) -> _Lying:
    from core.sae.pretrained import check_pretrained  # torch

    width, weights = check_pretrained(folder, None), weights_file(folder)
    assert weights is not None  # it was just read
    return _Lying(folder, weights, width, read_trained(folder.resolve()))


def _entry(lying: _Lying, root: Path, wanted: Wanted) -> SAEEntry:
    sites, layer = hook_place(lying.trained.hook or "", lying.trained.model or wanted.model or "")
    if not sites or layer is None:
        raise BadInput(
            f"{lying.folder}: its files state no layer and site read here (hook {lying.trained.hook or 'not stated'})"
        )
    neuronpedia = lying.trained.metadata.get("neuronpedia_id")
    within = lying.folder.relative_to(root).as_posix()
    raw = {
        "key": within if within != "." else root.resolve().name,
        "layer": layer,
        "site": wanted.site_among(sites),
        "width": lying.width,
        "l0": _l0(lying, within),
        "format": FORMATS[lying.weights],
        "path": str(lying.folder.resolve()),
        "neuronpedia": neuronpedia if isinstance(neuronpedia, str) and neuronpedia else None,
    }
    return parse_entry(raw, str(lying.folder))


def _l0(lying: _Lying, within: str) -> float | None:
    """As its configuration states it, its name, or the firing rates beside it."""
    for name, key in ((CONFIG, "k"), (GEMMA_SCOPE_2_CONFIG, "l0")):
        stated = read_config(lying.folder / name).get(key) if (lying.folder / name).is_file() else None
        if isinstance(stated, int | float) and not isinstance(stated, bool) and stated > 0:
            return float(stated)
    return stated_l0(within, lying.folder.resolve().name) or _l0_of_rates(lying.folder / SPARSITY)


def _l0_of_rates(path: Path) -> float | None:
    """The sum of the rates at which features fire; null where there are none."""
    if not path.is_file():
        return None
    from core.sae.weights import Weights

    total = float((10 ** Weights.read(path).get("sparsity").double()).sum())
    return round(total, 2) or None
