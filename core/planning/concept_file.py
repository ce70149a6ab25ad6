"""The files of concepts: each is a `ConceptScan`."""

from pathlib import Path

from core.planning.config_file import ConfigFiles
from core.planning.scan_sources import OF_STUDY
from core.study.concept_scan import ConceptScan
from core.study.scan import ConceptConfig

CONCEPT_FILES = ConfigFiles(
    "concept",
    ConceptScan,
    "a mapping (name, description, sentences, …)",
    shorter=(f"registry={OF_STUDY}", "study="),
)


def sentences_path(concept: ConceptConfig, path: Path) -> Path:
    """Where the table of sentences of the concept in the file `path` lies."""
    return path.parent / Path(concept.sentences).expanduser()
