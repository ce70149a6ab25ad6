"""From a concept's YAML file, or its name, to a `ConceptScan`, with errors that name the field and the fix."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.errors import BadInput
from core.planning.loading import ENDINGS, explained, overridden, read_mapping, study_file
from core.planning.scan_sources import OF_STUDY
from core.study.concept_scan import ConceptScan
from core.study.scan import ConceptConfig
from core.study.variant import variant_of


def find_concept(name: str, folders: Sequence[Path]) -> Path:
    """The concept file that `name` means: a path below one of `folders`, with or without `.yaml`.

    Raises:
        BadInput: there is no such file; the message lists the nearest name, or all of them.
    """
    if (path := study_file(name, folders)) is not None:
        return path
    known = sorted({path.stem for folder in folders[-1:] for end in ENDINGS[1:] for path in folder.glob(f"*{end}")})
    near = difflib.get_close_matches(Path(name).stem, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"concepts here: {', '.join(known) or 'none'}"
    looked = ", ".join(str(folder) for folder in folders)
    raise BadInput(f"concept {name!r}: no such file in {looked}; {hint}")


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
    return scan.model_copy(update={"variant": variant.replace(f"registry={OF_STUDY}", "study=")})


def parse_scan(raw: Mapping[str, Any], origin: str) -> ConceptScan:
    """Validate a mapping as a scan; `origin` opens the error message.

    Raises:
        BadInput: one line a wrong field.
    """
    try:
        return ConceptScan.model_validate(raw)
    except ValidationError as error:
        raise explained(error, origin, ConceptScan) from error


def sentences_path(concept: ConceptConfig, path: Path) -> Path:
    """Where the table of sentences of the concept in the file `path` lies."""
    return path.parent / Path(concept.sentences).expanduser()
