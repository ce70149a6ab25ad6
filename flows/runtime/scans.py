"""A concept scan as somebody means it: its file found, its places pinned, its registry read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.concepts.registry import Registry, read_registry
from core.planning.concept_file import find_concept, load_scan, named_scan
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
        scan, bases = concept, [started_in(), CONCEPTS, PROJECT]
    else:
        path = _file(concept)
        scan, bases = load_scan(path, overrides), [path.parent, started_in(), CONCEPTS, PROJECT]
    scan = pin_scan(scan, bases, [REGISTRIES])
    registry = str(scan.registry)
    if registry.startswith(OF_STUDY):
        known = registry_of(open_by_name(workspace, registry.removeprefix(OF_STUDY)))
    else:
        known = read_registry(Path(registry))
    return scan, known


def with_fields(concept: ConceptScan | str, fields: Mapping[str, str | None]) -> ConceptScan | str:
    """The concept with other values of some fields; null leaves one as it is.

    Raises:
        BadInput: there is no such concept, or a value is wrong.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    if not given:
        return concept
    own = concept if isinstance(concept, ConceptScan) else load_scan(_file(concept))
    sentences = own.sentences if isinstance(concept, ConceptScan) else str(_file(concept).parent / own.sentences)
    changed = {**own.model_dump(mode="json"), **given}
    return named_scan(own, changed, f"concept {own.name}").model_copy(update={"sentences": sentences})


def _file(name: str) -> Path:
    return find_concept(name, [started_in(), CONCEPTS])
