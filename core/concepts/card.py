"""`scan.json` of a scanned SAE: which SAE, of which model, over how many fragments."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import BadInput, first_line
from core.study.sites import STREAM, Site

SCAN = "scan.json"


class ScanSource(BaseModel):
    """What is scanned: the SAE's key in its registry, where it reads, and the fingerprints of what was used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    layer: int
    site: Site = STREAM
    declared_l0: float | None = None
    """Mean number of active features per token as the registry states it."""
    sae: str = ""
    """Fingerprint of the SAE's files."""
    model: str = ""
    tokenizer: str = ""
    imported_from: str | None = None
    """The file of an older script that the activations were taken from."""


class ScanCard(ScanSource):
    """The same with what was found."""

    features: int
    fragments: int
    sentences: int
    entries: int
    """Active features, summed over fragments."""
    measured_l0: float
    """Mean number of active features per fragment; BOS is no fragment."""
    values: Literal["float16", "float32"]

    def write(self, folder: Path) -> None:
        """Write it into the folder."""
        (folder / SCAN).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "ScanCard":
        """The card of a folder.

        Raises:
            BadInput: there is none, or it is damaged.
        """
        path = folder / SCAN
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BadInput(f"{folder}: is no scanned SAE ({SCAN} is missing)") from error
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise BadInput(f"{path}: is damaged ({first_line(error)}); scan this SAE again") from error
