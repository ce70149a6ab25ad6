"""A published feature catalogue as it is shown: explanations and scores of one feature at a time."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from core.errors import BadInput, first_line
from core.explain.published import read_table
from core.explain.tables import AGGREGATED, EXPLAINED, EXPLANATIONS
from core.reading.made import FROZEN
from core.reading.records import without_frozen
from core.reading.study import OpenedStudy
from core.store.artifacts import MANIFEST
from core.store.workspace import Workspace

_FIX = "`saeflow catalogue make` makes it again"
_IMPORTED = "import_catalogue"  # the step that core.explain.importing.kept publishes
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
class PublishedCatalogue:
    """A catalogue whose tables of explanations and scores were read once; another is opened once it is replaced.

    Attributes:
        name: what its folder is called.
        folder: that of its tables.
        saes: explanations and scores by `sae_id`.
        made_from: the reference of each SAE's artefact by `sae_id`, by which one that was trained again is told; empty
            for tables that no run of a catalogue made.
        is_imported: whether an older pipeline made the tables, which name an SAE and say nothing else of it.
    """

    name: str
    folder: Path
    saes: Mapping[str, OfSAE]
    made_from: Mapping[str, str]
    is_imported: bool

    @classmethod
    def open(cls, place: Path) -> "PublishedCatalogue":
        """The catalogue in a folder, or at a link to one.

        Raises:
            BadInput: a table is missing, damaged, or of another schema version.
        """
        folder = place.resolve()
        if not folder.is_dir():
            raise BadInput(f"{place}: its tables are not there; {_FIX}")
        explanations = _explanations(folder)
        scores = read_table(folder / "scores.parquet").with_columns(pl.col(pl.Categorical).cast(pl.String))
        known = explanations["sae_id"].unique().sort().to_list()
        saes = {one: OfSAE(_of(explanations, one), _of(scores, one)) for one in known}
        return cls(place.name, folder, saes, *_made_from(folder))

    def feature(self, sae_id: str, feature: int) -> Explained:
        """What is said of a feature; two empty tables where nothing is."""
        own = self.saes[sae_id]
        explanations, scores = _rows(own.explanations, feature), _rows(own.scores, feature)
        return Explained(self._with_asked(explanations, sae_id, feature), scores)

    @cached_property
    def aggregates(self) -> pl.DataFrame | None:
        """The scores over features, `core.explain.aggregates.AGGREGATES`; null where there are none.

        Raises:
            BadInput: the table is damaged.
        """
        file = self.folder / AGGREGATED
        try:
            return pl.read_parquet(file, glob=False)
        except FileNotFoundError:
            return None
        except (OSError, PolarsError) as error:
            raise BadInput(f"{file}: cannot be read ({first_line(error)}); {_FIX}") from error

    def texts(self, sae_id: str) -> pl.DataFrame:
        """Every explanation of an SAE's features that has a text: feature_id, explainer, language, text."""
        own = self.saes[sae_id].explanations
        return own.filter(pl.col("text").is_not_null()).select("feature_id", "explainer", "language", "text")

    def sae_of(self, study: OpenedStudy, layer: int) -> str | None:
        """The `sae_id` of a study's layer; null where the catalogue explains none of it. What was imported is taken at
        its word.

        Raises:
            BadInput: the layer has another SAE than was explained, so that its features are others.
        """
        own = next((name for name in _called(study, layer) if name in self.saes), None)
        if own is None or layer not in study.layers:
            return None
        if self.is_imported:
            return own
        if own not in self.made_from:
            raise BadInput(
                f"catalogue {self.name}: does not say which SAE {own} is; `saeflow catalogue make` makes one that does"
            )
        if self.made_from[own] != study.layer_artifacts(layer).sae.ref:
            raise BadInput(
                f"catalogue {self.name}: explains another SAE than layer {layer} of {study.title} ({study.key}) has; "
                "`saeflow catalogue make` explains that one"
            )
        return own

    def _with_asked(self, explanations: pl.DataFrame, sae_id: str, feature: int) -> pl.DataFrame:
        """The rows with what was asked and answered, which of a large catalogue are read when they are looked at."""
        if set(_ASKED) <= set(explanations.columns) or not explanations.height:
            return explanations
        here = (pl.col("feature_id") == feature) & (pl.col("sae_id") == sae_id)
        keys = ("explainer", "language")
        asked = pl.scan_parquet(self.folder / EXPLAINED, glob=False).filter(here).select(*keys, *_ASKED).collect()
        return explanations.join(asked, on=list(keys), how="left", maintain_order="left")


def _called(study: OpenedStudy, layer: int) -> Iterator[str]:
    """What catalogues call the dictionary of a layer."""
    for name in (study.title, study.key):
        yield f"{without_frozen(name)}/layer_{layer}{FROZEN * study.of_frozen}"


def catalogue_folders(workspace: Workspace) -> list[Path]:
    """Where the workspace's catalogues are, by name."""
    place = workspace.published_catalogue("any").parent
    try:
        with os.scandir(place) as entries:
            named = [entry.name for entry in entries if not entry.name.startswith(".") and _COPIED not in entry.name]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [place / name for name in sorted(named)]


def _made_from(folder: Path) -> tuple[dict[str, str], bool]:
    """The artefact of each SAE, as the manifest of the published tables has them, and whether they were imported."""
    try:
        unit = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["unit"]
        saes = dict(zip(unit["recipe"].get("saes", ()), map(str, unit["inputs"].get("sae", ())), strict=True))
        return saes, unit.get("step") == _IMPORTED
    except FileNotFoundError:
        return {}, False
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{folder / MANIFEST}: does not say whose tables these are ({error})") from error


def _explanations(folder: Path) -> pl.DataFrame:
    """What explainers said; without prompts and raw answers where these are many."""
    file = folder / EXPLAINED
    many = file.is_file() and file.stat().st_size > _MOST_KEPT
    columns = [name for name in EXPLANATIONS if name not in _ASKED or not many]
    try:
        read = pl.read_parquet(file, columns=columns, glob=False).cast({name: EXPLANATIONS[name] for name in columns})
        return read.with_columns(pl.col(pl.Categorical).cast(pl.String))
    except FileNotFoundError as error:
        raise BadInput(f"{file}: is missing; {_FIX}") from error
    except (OSError, PolarsError) as error:
        raise BadInput(f"{file}: cannot be read ({first_line(error)}); {_FIX}") from error


def _of(table: pl.DataFrame, sae_id: str) -> pl.DataFrame:
    """The rows of one SAE in the order of its features."""
    return table.filter(pl.col("sae_id") == sae_id).sort("feature_id", maintain_order=True)


def _rows(table: pl.DataFrame, feature: int) -> pl.DataFrame:
    first, end = (int(table["feature_id"].search_sorted(feature, side=side)) for side in ("left", "right"))
    return table[first:end]
