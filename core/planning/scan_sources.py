"""What lies outside a concept scan: its sentences, its model, and the SAEs of its registry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.concepts.card import ScanCard
from core.concepts.registry import Registry, SAEEntry
from core.concepts.registry_checks import Reader, check_registry, fingerprint
from core.concepts.scanned import SCANNED_FILES
from core.errors import BadInput
from core.lm.shape import ModelShape, model_names
from core.planning import located
from core.planning.model_source import FoundModel, find_model, pinned_model
from core.planning.places import ANYWHERE, find_first
from core.store.hashes import HashMemo
from core.study.concept_scan import ConceptScan
from core.study.layers import resolve_layers

ENDING = ".yaml"
OF_STUDY = "study:"
"""Begins a registry that is the SAEs of a study which has run in the workspace."""


@dataclass(frozen=True)
class Imported:
    """What an older scan left of an SAE: where it lies, and what it holds."""

    folder: Path
    content: str


@dataclass(frozen=True)
class FoundSAE:
    """An SAE of the registry: what is declared, where it lies, what it holds, and what is imported of it."""

    entry: SAEEntry
    folder: Path
    content: str
    imported: Imported | None = None


@dataclass(frozen=True)
class ScanSources:
    """Everything outside a scan that decides its result; `absent` says of SAEs that cannot be used why, by key, and
    `warnings` what is doubtful."""

    sentences: Path
    sentences_content: str
    model: FoundModel
    registry: Registry
    saes: tuple[FoundSAE, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def pin_scan(scan: ConceptScan, bases: Sequence[Path], registries: Sequence[Path]) -> ConceptScan:
    """The scan with absolute places; a registry may be one of the folders `registries` by its name.

    Raises:
        BadInput: something is nowhere, or no registry is named.
    """
    if scan.registry is None:
        raise BadInput(f"concept {scan.name}: name the SAEs: --registry FILE, or --study NAME for those of a study")
    changed = {"sentences": str(find_first(scan.sentences, bases, "sentences"))}
    if not scan.registry.startswith(OF_STUDY):
        changed["registry"] = str(_registry_file(scan.registry, [*bases, *registries]))
    if scan.imported is not None:
        changed["imported"] = str(find_first(scan.imported, bases, "imported"))
    if scan.model is not None:
        changed["model"] = pinned_model(scan.model, bases)
    return scan.model_copy(update=changed)


def _registry_file(name: str, bases: Sequence[Path]) -> Path:
    try:
        return find_first(name, bases, "registry")
    except BadInput:
        return find_first(name if name.endswith(ENDING) else f"{name}{ENDING}", bases, "registry")


def read_scan_sources(scan: ConceptScan, registry: Registry, reader: located.Reader) -> ScanSources:
    """Hash everything outside a pinned scan; `registry` is what its `registry` means.

    Raises:
        BadInput: sentences or model are missing or damaged; or an SAE is, where the scan is strict or has no other.
    """
    sentences = find_first(scan.sentences, ANYWHERE, "sentences")
    model = find_model(scan.model or _model_of(registry), reader)
    found = ScanSources(sentences, reader.memo.sha256(sentences), model, registry)
    return found if model.shape is None else _with_saes(scan, found, reader.memo, model.shape)


def _model_of(registry: Registry) -> str:
    try:
        return pinned_model(registry.model, ANYWHERE)
    except BadInput as error:
        named = f"registry: its model {registry.model!r} is not found here"
        raise BadInput(f"{named}; name a folder, a hub name or package:NAME with --model ({error})") from error


def _with_saes(scan: ConceptScan, found: ScanSources, memo: HashMemo, shape: ModelShape) -> ScanSources:
    """Add the SAEs of the scan's layers, layer by layer, held against what the registry declares of them."""
    assert found.model.folder is not None  # its shape is known
    checked = check_registry(
        _wanted(scan, found.registry, shape), Reader(model_names(found.model.folder), shape), scan.strict
    )
    imported = _imported_folders(scan)
    saes = tuple(
        FoundSAE(one.entry, one.folder, fingerprint(one.folder, memo), _imported(one.entry, imported, memo))
        for one in checked.usable
    )
    absent = {one.entry.key: one.reason for one in checked.skipped}
    warnings = tuple(checked.model_warnings(found.registry.model if scan.model is None else scan.model))
    return replace(found, saes=saes, absent=absent, warnings=warnings)


def _imported(entry: SAEEntry, imported: Mapping[str, Path], memo: HashMemo) -> Imported | None:
    folder = imported.get(entry.key)
    if folder is None:
        return None
    if (features := ScanCard.read(folder).features) != entry.width:
        raise BadInput(f"imported: {folder} has {features} features, {entry.key} {entry.width}; import it again")
    return Imported(folder, memo.sha256_all([folder / name for name in SCANNED_FILES]))


def _wanted(scan: ConceptScan, registry: Registry, shape: ModelShape) -> Registry:
    """The registry's SAEs of the scan's layers.

    Raises:
        BadInput: a layer is beyond the model, or none has an SAE.
    """
    try:
        layers = set(resolve_layers(scan.layers, shape.num_layers, "layers"))
    except ValueError as error:
        raise BadInput(str(error)) from error
    entries = tuple(one for one in sorted(registry.entries, key=lambda one: one.layer) if one.layer in layers)
    if not entries:
        there = ", ".join(map(str, registry.layers))
        raise BadInput(f"layers: no SAE of the registry reads one of them; it has SAEs of {there}")
    return registry.model_copy(update={"entries": entries})


def _imported_folders(scan: ConceptScan) -> Mapping[str, Path]:
    """The folders of an older scan's activations by SAE, where the scan takes some over."""
    if scan.imported is None:
        return {}
    from core.concepts.taken_over import imported_folders  # it loads PyTorch

    return imported_folders(Path(scan.imported))
