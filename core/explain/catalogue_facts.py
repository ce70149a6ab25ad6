"""`catalogue.json` beside the published tables: what the catalogue is called, whose SAEs it explains, and its settings."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.errors import BadInput
from core.explain.table_file import SCHEMA_VERSION

FILE = "catalogue.json"


@dataclass(frozen=True)
class ExplainedSAE:
    """An SAE whose features are in the catalogue.

    Attributes:
        sae_id: as the tables name it.
        layer: of the study.
        artifact: the reference of the SAE's artefact, by which one that was trained again is told; empty for an SAE
            of no study.
        frozen: whether its decoder is random and frozen.
    """

    sae_id: str
    layer: int
    artifact: str = ""
    frozen: bool = False


@dataclass(frozen=True)
class CatalogueFacts:
    """What a catalogue is of.

    Attributes:
        title: the name, and what sets it apart.
        study: the key of the study whose SAEs are explained; empty where they are of none.
        saes: the SAEs.
        settings: the catalogue's configuration, as nested dictionaries.
    """

    title: str
    study: str
    saes: tuple[ExplainedSAE, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


def write_facts(folder: Path, facts: CatalogueFacts) -> None:
    """Write `catalogue.json`; equal facts give equal bytes."""
    document = {"schema_version": SCHEMA_VERSION, **asdict(facts)}
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / FILE).write_text(f"{text}\n", encoding="utf-8")


def read_facts(folder: Path) -> CatalogueFacts:
    """What the catalogue in a folder is of.

    Raises:
        BadInput: the file is missing, damaged, or of another schema version.
    """
    path = folder / FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document.pop("schema_version")
        saes = tuple(ExplainedSAE(**one) for one in document.pop("saes"))
        facts = CatalogueFacts(saes=saes, **document)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: is missing; publish the catalogue again") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); publish the catalogue again") from error
    if version != SCHEMA_VERSION:
        raise BadInput(f"{path}: has schema version {version}, and this is saeflow with version {SCHEMA_VERSION}; update")
    return facts
