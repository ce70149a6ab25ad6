"""`store.json` of a folder that saeflow wrote activations to: how many features and rows, and whose they are."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from core.errors import BadInput

CARD = "store.json"


@dataclass(frozen=True)
class StoreCard:
    """F features over T rows; `origin` names the SAE and what it was run on, as far as that is known."""

    features: int
    rows: int
    origin: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it into the folder."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False)
        (folder / CARD).write_text(text + "\n", encoding="utf-8")


def read_card(folder: Path) -> StoreCard | None:
    """The card of a folder; null where it has none, as what other programs wrote.

    Raises:
        BadInput: it is damaged.
    """
    path = folder / CARD
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        origin = {str(name): str(value) for name, value in raw["origin"].items()}
        return StoreCard(int(raw["features"]), int(raw["rows"]), origin)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: is damaged ({type(error).__name__}: {error}); convert the store again") from error
