"""From a concept's YAML file to a `ConceptScan`, with errors that name the field, the value and the fix."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.planning.loading import explained, overridden, read_mapping
from core.study.concept_scan import ConceptScan
from core.study.variant import variant_of


def load_scan(path: Path, overrides: Iterable[str] = ()) -> ConceptScan:
    """Read a concept's file and apply `section.key=value` overrides to it, after which the scan is called.

    Raises:
        BadInput: the file is no YAML mapping, or a field is wrong.
    """
    raw = read_mapping(path, "a concept is a mapping (name, description, sentences, …)")
    return named_scan(parse_scan(raw, path.name), overridden(raw, overrides), path.name)


def named_scan(own: ConceptScan, changed: Mapping[str, Any], origin: str) -> ConceptScan:
    """The scan `changed`, called after what it sets otherwise than `own`.

    Raises:
        BadInput: a field is wrong.
    """
    scan = parse_scan(changed, origin)
    if scan.variant != own.variant:
        return scan
    variant = variant_of(own.model_dump(mode="json"), scan.model_dump(mode="json"))
    return scan.model_copy(update={"variant": variant})


def parse_scan(raw: Mapping[str, Any], origin: str) -> ConceptScan:
    """Validate a mapping as a scan; `origin` opens the error message.

    Raises:
        BadInput: one line a wrong field.
    """
    try:
        return ConceptScan.model_validate(raw)
    except ValidationError as error:
        raise explained(error, origin, ConceptScan) from error
