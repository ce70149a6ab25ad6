"""A published feature catalogue, opened by what it is called: explanations and scores of one feature at a time."""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from core.errors import BadInput
from core.explain.catalogue_facts import CatalogueFacts, ExplainedSAE, read_facts
from core.explain.published import read_table, scan_table
from core.reading.study import OpenedStudy
from core.store.workspace import Workspace

FOLDER = "catalogues"
"""Where a workspace's catalogues are found, each a link to its tables."""
_COPIED = ".copied-"
_ASKED = ("prompt", "raw_answer")
_MOST_KEPT = 16 << 20
"""Bytes of a file of explanations whose prompts and raw answers are kept in memory."""


class Explained(NamedTuple):
    """What a catalogue says of one feature: rows of `EXPLANATIONS`, and of `SCORES`."""

    explanations: pl.DataFrame
    scores: pl.DataFrame


class OfSAE(NamedTuple):
    """What it says of one SAE's features, by their numbers."""

    explanations: pl.DataFrame
    scores: pl.DataFrame


@dataclass(frozen=True, eq=False)
class OpenedCatalogue:
    """A catalogue whose tables of explanations and scores were read once; another is opened once it is replaced.

    Attributes:
        name: what its folder is called.
        folder: that of its tables.
        facts: whose SAEs are explained.
        saes: explanations and scores by `sae_id`.
        aggregates: the scores over features, `core.explain.tables.AGGREGATES`; null where none were published.
    """

    name: str
    folder: Path
    facts: CatalogueFacts
    saes: Mapping[str, OfSAE]
    aggregates: pl.DataFrame | None

    @classmethod
    def open(cls, place: Path) -> "OpenedCatalogue":
        """The catalogue in a folder, or at a link to one.

        Raises:
            BadInput: a table is missing, damaged, or of another schema version.
        """
        folder = place.resolve()
        if not folder.is_dir():
            raise BadInput(f"{place}: its tables are not there; publish the catalogue again")
        facts = read_facts(folder)
        explanations = _explanations(folder)
        scores = read_table(folder / "scores.parquet").with_columns(pl.col(pl.Categorical).cast(pl.String))
        parts = {one.sae_id: OfSAE(_of(explanations, one), _of(scores, one)) for one in facts.saes}
        return cls(place.name, folder, facts, parts, _aggregates(folder))

    def feature(self, sae_id: str, feature: int) -> Explained:
        """What is said of a feature; two empty tables where nothing is."""
        own = self.saes[sae_id]
        explanations, scores = _rows(own.explanations, feature), _rows(own.scores, feature)
        return Explained(self._with_asked(explanations, sae_id, feature), scores)

    def texts(self, sae_id: str) -> pl.DataFrame:
        """Every explanation of an SAE's features that has a text: feature_id, explainer, language, text."""
        own = self.saes[sae_id].explanations
        return own.filter(pl.col("text").is_not_null()).select("feature_id", "explainer", "language", "text")

    def sae(self, study: OpenedStudy, layer: int) -> ExplainedSAE | None:
        """The SAE of a study's layer; null where the catalogue explains none of this layer.

        Raises:
            BadInput: the layer's SAE was trained again since, so that its features are others.
        """
        if self.facts.study != study.key or layer not in study.layers:
            return None
        there = [one for one in self.facts.saes if one.layer == layer]
        made = study.layer_artifacts(layer).sae.ref
        own = next((one for one in there if one.artifact == made), None)
        if own is None and any(not one.frozen for one in there):
            raise BadInput(
                f"catalogue {self.name}: layer {layer} of {study.title} has another SAE than it explains; "
                f"run the catalogue again"
            )
        return own

    def _with_asked(self, explanations: pl.DataFrame, sae_id: str, feature: int) -> pl.DataFrame:
        """The rows with what was asked and answered, which a large catalogue reads when it is looked at."""
        if set(_ASKED) <= set(explanations.columns) or not explanations.height:
            return explanations
        here = (pl.col("feature_id") == feature) & (pl.col("sae_id") == sae_id)
        keys = ("explainer", "language")
        asked = scan_table(self.folder / "explanations.parquet").filter(here).select(*keys, *_ASKED).collect()
        return explanations.join(asked, on=list(keys), how="left", maintain_order="left")


def catalogue_folders(workspace: Workspace) -> list[Path]:
    """Where the workspace's catalogues are, by name."""
    try:
        with os.scandir(workspace.root / FOLDER) as entries:
            named = [entry.name for entry in entries if not entry.name.startswith(".") and _COPIED not in entry.name]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [workspace.root / FOLDER / name for name in sorted(named)]


def open_catalogue(workspace: Workspace, asked: str) -> OpenedCatalogue:
    """The catalogue of that name or title, or in the folder `asked`.

    Raises:
        BadInput: there is none, or its tables cannot be read.
    """
    folders = catalogue_folders(workspace)
    for place in folders:
        if place.name == asked:
            return OpenedCatalogue.open(place)
    for place in folders:
        if _title(place) == asked:
            return OpenedCatalogue.open(place)
    if Path(asked).expanduser().is_dir():
        return OpenedCatalogue.open(Path(asked).expanduser())
    known = [place.name for place in folders]
    near = difflib.get_close_matches(asked, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"catalogues here: {', '.join(known) or 'none'}"
    raise BadInput(f"catalogue {asked[:100]!r}: is not in {workspace.root}; {hint}")


def opened_catalogues(workspace: Workspace) -> Iterator[OpenedCatalogue | BadInput]:
    """Every catalogue of the workspace, or why one cannot be read."""
    for place in catalogue_folders(workspace):
        try:
            yield OpenedCatalogue.open(place)
        except BadInput as fault:
            yield BadInput(f"catalogue {place.name}: {fault}")


def _title(place: Path) -> str | None:
    try:
        return read_facts(place).title
    except BadInput:
        return None


def _explanations(folder: Path) -> pl.DataFrame:
    file = folder / "explanations.parquet"
    table = scan_table(file)
    if file.stat().st_size > _MOST_KEPT:
        table = table.drop(_ASKED)
    read: pl.DataFrame = table.collect()
    return read


def _aggregates(folder: Path) -> pl.DataFrame | None:
    file = folder / "aggregates.parquet"
    return read_table(file) if file.is_file() else None


def _of(table: pl.DataFrame, sae: ExplainedSAE) -> pl.DataFrame:
    """The rows of one SAE in the order of its features."""
    return table.filter(pl.col("sae_id") == sae.sae_id).sort("feature_id", maintain_order=True)


def _rows(table: pl.DataFrame, feature: int) -> pl.DataFrame:
    first, end = (int(table["feature_id"].search_sorted(feature, side=side)) for side in ("left", "right"))
    return table[first:end]
