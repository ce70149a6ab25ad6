"""A feature catalogue that was published in a workspace, found by what it is called."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from core.errors import BadInput
from core.explain.published import read_table, scan_table
from core.explain.publishing import read
from core.explain.tables import AGGREGATED, EXPLAINED
from core.store.artifacts import Artifact, ArtifactStore
from core.store.workspace import Workspace
from core.study.variant import title


@dataclass(frozen=True)
class OpenedCatalogue:
    """A catalogue as its run, or an import, left it. What is read is looked at first."""

    store: ArtifactStore
    record: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The name, and what sets the catalogue apart."""
        return title(self.record["catalogue"])

    @property
    def folder(self) -> Path:
        """The folder of its tables.

        Raises:
            BadInput: a file of it is damaged.
        """
        tables = Artifact.from_ref(self.record["tables"])
        if faults := self.store.faults(tables):
            raise BadInput(f"{faults[0]}; `saeflow catalogue make` makes it again")
        return self.store.path(tables)

    @property
    def saes(self) -> tuple[str, ...]:
        """The SAEs that it has features of, as its tables call them."""
        named = scan_table(self.folder / "features.parquet").select("sae_id").unique().collect()
        return tuple(sorted(named["sae_id"].cast(pl.String)))

    @property
    def aggregates(self) -> pl.DataFrame:
        """The scores over features: `core.explain.aggregates.AGGREGATES`."""
        return read(self.folder / AGGREGATED)

    @property
    def explanations(self) -> pl.DataFrame:
        """What explainers said: `EXPLANATIONS`."""
        return read(self.folder / EXPLAINED)

    def table(self, name: str) -> pl.DataFrame:
        """A published table, as `scores`.

        Raises:
            BadInput: it is missing, or of another schema version.
        """
        return read_table(self.folder / f"{name}.parquet")

    def of_feature(self, table: str, sae_id: str, feature: int) -> pl.DataFrame:
        """The rows of a published table that are a feature's.

        Raises:
            BadInput: the table is missing, or of another schema version.
        """
        rows = scan_table(self.folder / f"{table}.parquet").filter(pl.col("feature_id") == feature)
        found: pl.DataFrame = rows.filter(pl.col("sae_id") == sae_id).collect()
        return found


def catalogue_by_name(workspace: Workspace, asked: str) -> OpenedCatalogue:
    """The latest catalogue of that key, title or name whose tables are there.

    Raises:
        BadInput: there is none, or a record of the workspace is damaged.
    """
    records = workspace.catalogues.all()
    found = [one for one in records if asked in (one["key"], one["name"], title(one["catalogue"]))]
    found = found or [one for one in records if one["catalogue"]["name"] == asked]
    if not found:
        known = list(dict.fromkeys(str(one["name"]) for one in records))
        near = difflib.get_close_matches(asked, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"catalogues here: {', '.join(known) or 'none'}"
        raise BadInput(f"catalogue {asked!r}: was not made in {workspace.root}; {hint}")
    for record in found:
        if workspace.store.path(Artifact.from_ref(record["tables"])).is_dir():
            return OpenedCatalogue(workspace.store, record)
    raise BadInput(f"catalogue {asked!r}: its run has not come to the tables; `saeflow catalogue make` goes on with it")
