"""A concept scan that has run in a workspace, found by what it is called, and what it says of one feature."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from core.concepts.scanned import ScannedSAE
from core.errors import BadInput
from core.reading.records import open_by_name
from core.reading.study import OpenedStudy
from core.store.artifacts import Artifact, ArtifactStore
from core.store.units import Unit
from core.store.workspace import Workspace
from core.study.variant import title


@dataclass(frozen=True)
class OpenedScan:
    """A scan as its run left it; `unit` ranked its features. What is read is looked at first."""

    store: ArtifactStore
    record: Mapping[str, Any]
    unit: Unit

    @property
    def title(self) -> str:
        """The concept, and what sets the scan apart: `aggression · registry=gemma`."""
        return title(self.record["scan"])

    def folders(self, role: str) -> list[Path]:
        """The folders of what the ranking was made from: `sentences`, `fragments` or `scanned`.

        Raises:
            BadInput: one is missing or damaged.
        """
        return [self._whole(artifact) for artifact in self.unit.inputs[role]]

    def folder(self, role: str) -> Path:
        """The only one of them.

        Raises:
            BadInput: it is missing or damaged.
        """
        return self.folders(role)[0]

    def table(self, name: str) -> pl.DataFrame:
        """A table of the ranking, as `top_features`.

        Raises:
            BadInput: it is missing or damaged.
        """
        return pl.read_parquet(self._whole(self.unit.artifact) / f"{name}.parquet", glob=False)

    def examined(self, name: str) -> pl.DataFrame | None:
        """A table on what the best features write: `output_scores`, `matches` or `tokens`; null where none was made.

        Raises:
            BadInput: it is damaged.
        """
        for ref in self.record["artifacts"]:
            artifact = Artifact.from_ref(ref)
            if artifact.step == "examine_features" and self.store.path(artifact).is_dir():
                return pl.read_parquet(self._whole(artifact) / f"{name}.parquet", glob=False)
        return None

    @cached_property
    def saes(self) -> Mapping[str, Mapping[str, Any]]:
        """What the registry declares of each SAE that was ranked, by key."""
        manifests = map(self.store.manifest, self.unit.inputs["scanned"])
        return {one["key"]: one for one in (manifest["unit"]["recipe"]["entry"] for manifest in manifests)}

    def scanned(self, key: str) -> ScannedSAE:
        """The activations of one SAE.

        Raises:
            BadInput: no such SAE was ranked, or its activations are missing or damaged.
        """
        return ScannedSAE.open(self._whole(self._encoded(key)))

    def encoding(self, key: str) -> Unit:
        """The unit that encoded the sentences with one SAE.

        Raises:
            BadInput: no such SAE was ranked.
        """
        return Unit.from_json(self.store.manifest(self._encoded(key))["unit"])

    def _encoded(self, key: str) -> Artifact:
        if key not in self.saes:
            near = difflib.get_close_matches(key, self.saes, n=1)
            hint = f"did you mean {near[0]}?" if near else f"SAEs here: {', '.join(self.saes)}"
            raise BadInput(f"SAE {key!r}: was not ranked in {self.title}; {hint}")
        return self.unit.inputs["scanned"][list(self.saes).index(key)]

    def _whole(self, artifact: Artifact) -> Path:
        faults = self.store.faults(artifact)
        if faults:
            raise BadInput(f"{faults[0]}; `saeflow concept scan` makes it again")
        return self.store.path(artifact)


def scan_by_name(workspace: Workspace, asked: str) -> OpenedScan:
    """The latest scan of that key, title or concept which has come to its ranking.

    Raises:
        BadInput: there is none, or a record of the workspace is damaged.
    """
    records = workspace.scans.all()
    found = [one for one in records if asked in (one["key"], one["scan"]["name"], title(one["scan"]))]
    if not found:
        known = ", ".join(dict.fromkeys(str(one["scan"]["name"]) for one in records)) or "none"
        raise BadInput(f"concept {asked!r}: was not scanned in {workspace.root} (scans here: {known})")
    for record in found:
        ranking = Artifact.from_ref(record["ranking"])
        if workspace.store.intact(ranking):
            return OpenedScan(workspace.store, record, Unit.from_json(workspace.store.manifest(ranking)["unit"]))
    raise BadInput(f"concept {asked!r}: its scan has not come to the ranking; `saeflow concept scan` goes on with it")


def study_of(workspace: Workspace, scan: OpenedScan, key: str) -> OpenedStudy | None:
    """The study of the workspace that has the SAE as its own, by the files that were scanned; null where none has."""
    name, _, layer = key.rpartition("/layer_")
    try:
        study = open_by_name(workspace, name)
    except BadInput:
        return None
    if not layer.isdecimal() or int(layer) not in study.layers:
        return None
    return study if study.sae_folder(int(layer)).name == Path(scan.encoding(key).knobs["folder"]).name else None
