"""An older pipeline's folder kept in a workspace, as a catalogue that was made here is."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.explain.importing.catalogue import Imported, read_older
from core.explain.published import write_tables
from core.explain.publishing import sum_up
from core.explain.tables import SCORES
from core.store.artifacts import Artifact
from core.store.hashes import HashMemo
from core.store.units import Unit
from core.store.workspace import Workspace

_VERSION, _DRAWS = 2, 1000


@dataclass(frozen=True)
class Older:
    """A folder of an older pipeline; `models` are full model names by parts of sources' names, `sae_id` what its SAE is
    called here, null where the files say it."""

    folder: Path
    models: Mapping[str, str] = field(default_factory=dict)
    sae_id: str | None = None


def keep(older: Older, name: str, workspace: Workspace) -> tuple[Artifact, Imported]:
    """Read the folder, publish its tables as the catalogue `name`, and record it.

    Raises:
        BadInput: the folder holds no known layout, or a file of it is damaged.
    """
    found = read_older(older.folder, older.models, older.sae_id)
    memo, store = HashMemo(workspace.hashes), workspace.store
    content = memo.sha256_all(sorted(path for path in older.folder.rglob("*") if path.is_file()))
    memo.save()
    recipe = {"content": content, "models": dict(older.models), "sae_id": older.sae_id}
    unit = Unit("import_catalogue", _VERSION, "", recipe, {}, {"folder": str(older.folder)})
    if not store.intact(unit.artifact):
        staged = store.staging(unit.artifact)
        write_tables(staged, found.tables, found.cards)
        metrics = sum_up(found.explanations, found.tables.get("scores", SCORES.to_frame()), _DRAWS, 0, staged)
        made = {
            "unit": unit.to_json(),
            "label": unit.label,
            "metrics": metrics,
            "provenance": {"finished": time.time()},
        }
        store.publish(staged, unit.artifact, made)
    told = {"name": name, "variant": "", "study": f"imported from {older.folder.name}"}
    record = {"catalogue": told, "name": name, "artifacts": [unit.artifact.ref], "tables": unit.artifact.ref}
    workspace.catalogues.remember(f"catalogue-{name}-{unit.artifact.fingerprint[:8]}", record)
    workspace.publish_catalogue(name, unit.artifact)
    return unit.artifact, found
