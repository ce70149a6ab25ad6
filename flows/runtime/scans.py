"""A concept scan as somebody means it: its file found, its places pinned, its registry read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.concepts.registry import Registry, read_registry
from core.planning.concept_file import CONCEPT_FILES
from core.planning.scan_sources import OF_STUDY, pin_scan
from core.reading.records import open_by_name
from core.reading.registry import registry_of
from core.store.workspace import Workspace
from core.study.concept_scan import ConceptScan
from flows.runtime.settings import PROJECT, started_in

CONCEPTS = PROJECT / "deployments" / "concepts"
REGISTRIES = PROJECT / "deployments" / "sae-registries"


def open_scan(
    concept: ConceptScan | str, workspace: Workspace, overrides: Sequence[str] = ()
) -> tuple[ConceptScan, Registry]:
    """A scan with absolute places, and the SAEs that it names.

    Raises:
        BadInput: no such file, a field is wrong, or sentences, registry or model are nowhere.
    """
    if isinstance(concept, ConceptScan):
        scan = pin_scan(concept, _elsewhere(), [REGISTRIES])
    else:
        path = _file(concept)
        scan = pin_scan(CONCEPT_FILES.load(path, overrides), [path.parent, *_elsewhere()], [REGISTRIES])
    registry = str(scan.registry)
    if registry.startswith(OF_STUDY):
        known = registry_of(open_by_name(workspace, registry.removeprefix(OF_STUDY)))
    else:
        known = read_registry(Path(registry))
    return scan, known


def with_fields(concept: ConceptScan | str, fields: Mapping[str, str | None]) -> ConceptScan | str:
    """The concept with other values of some fields; null leaves one as it is. A file's own places start at its folder.

    Raises:
        BadInput: no such file, a field is wrong, or sentences, registry or model are nowhere.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    if not given:
        return concept
    if isinstance(concept, ConceptScan):
        return _changed(concept, given)
    path = _file(concept)
    return pin_scan(_changed(CONCEPT_FILES.load(path), given), [path.parent, *_elsewhere()], [REGISTRIES])


def _changed(own: ConceptScan, given: Mapping[str, str]) -> ConceptScan:
    return CONCEPT_FILES.changed(own, {**own.model_dump(mode="json"), **given}, f"concept {own.name}")


def _elsewhere() -> list[Path]:
    """Where a path is looked up that is not below its concept's folder."""
    return [started_in(), CONCEPTS, PROJECT]


def _file(name: str) -> Path:
    return CONCEPT_FILES.find(name, [started_in(), CONCEPTS])
