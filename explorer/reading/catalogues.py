"""Feature catalogues that are shown: opened when first asked for, and again when another is in their place."""

import time
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import polars as pl

from core.errors import BadInput
from core.explain.metrics import ALL, CHANCE
from core.reading.published_catalogues import PublishedCatalogue, catalogue_folders
from core.reading.study import OpenedStudy
from core.store.workspace import Workspace
from explorer.reading.kept import Kept

UNCHECKED = "imported; not checked against this SAE"
"""What stands beside what an older pipeline said of an SAE of this name."""
_SETTLED_NS = 100_000_000
"""Age of a link's last change below which another may have the same time."""
_MOST_LAYERS = 64
"""Layers whose texts are kept as one table; each text is in memory already, with its catalogue."""
_KEYS = pl.Schema({"layer": pl.UInt16(), "feature": pl.UInt32()})
CATALOGUE = "catalogue"
"""The column of feature tables with what catalogues say."""
_TOLD = pl.Schema({**_KEYS, CATALOGUE: pl.String()})
_BETWEEN = " · "
_SCORE = ("scorer", "metric", "example_kind", "language", "value", "low", "high", "n", "n_failed", "judge")
_EXPLANATION = ("explainer", "explanation_method", "llm_explainer", "language", "text", "failure", "prompt_version")
_OVER = ("explainer", "scorer", "metric", "chance", "n", "mean", "low", "high", "n_failed")
_FLOOR = ("frozen_n", "frozen_mean", "frozen_low", "frozen_high", "difference", "difference_low", "difference_high")
_ASKED = ("prompt", "raw_answer")


class OfLayer(NamedTuple):
    """The catalogues that explain a layer's SAE, each with what it calls it; and why others are not shown."""

    found: tuple[tuple[PublishedCatalogue, str], ...]
    notes: tuple[str, ...]


class _Place(NamedTuple):
    path: Path
    stamp: Hashable
    changed: int

    @property
    def has_settled(self) -> bool:
        """Whether another catalogue in its place would have another stamp."""
        return abs(time.time_ns() - self.changed) >= _SETTLED_NS


class Catalogues:
    """The catalogues of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._lock = workspace, Lock()
        self._opened: dict[Path, tuple[Hashable, PublishedCatalogue | str]] = {}
        self._texts: Kept[pl.DataFrame] = Kept(_MOST_LAYERS)

    def all(self) -> tuple[list[PublishedCatalogue], list[str]]:
        """Every catalogue that can be read, by name, and a line for each that cannot."""
        places = [_place(path) for path in catalogue_folders(self._workspace)]
        with self._lock:
            now = {one.path: (one.stamp, self._open(one)) for one in places}
            self._opened = {one.path: now[one.path] for one in places if one.has_settled}
        read = [found for _, found in now.values()]
        return [one for one in read if isinstance(one, PublishedCatalogue)], [
            one for one in read if isinstance(one, str)
        ]

    def of_layer(self, study: OpenedStudy, layer: int) -> OfLayer:
        """The catalogues of a study's layer."""
        opened, notes = self.all()
        found = []
        for one in opened:
            try:
                sae = one.sae_of(study, layer)
            except BadInput as fault:
                notes.append(str(fault))
                continue
            if sae is not None:
                found.append((one, sae))
                notes += [f"catalogue {one.name}: {UNCHECKED}"] * one.is_imported
        return OfLayer(tuple(found), tuple(notes))

    def version(self) -> Hashable:
        """Another whenever a catalogue was published, replaced or removed."""
        return _version(map(_place, catalogue_folders(self._workspace)))

    def texts(self, study: OpenedStudy, layers: Iterable[int]) -> pl.DataFrame:
        """What catalogues say of features of these layers: layer, feature, and all texts in one."""
        numbers, places = tuple(layers), [_place(path) for path in catalogue_folders(self._workspace)]
        if not all(one.has_settled for one in places):
            return self._read_texts(study, numbers)
        saes = [study.layer_artifacts(layer).sae.ref for layer in numbers]
        state = (_version(places), study.key, numbers, *saes)
        return self._texts.get(state, lambda: self._read_texts(study, numbers))

    def _read_texts(self, study: OpenedStudy, layers: Iterable[int]) -> pl.DataFrame:
        parts = [pl.DataFrame(schema=_TOLD)]
        for layer in layers:
            for catalogue, sae in self.of_layer(study, layer).found:
                if catalogue.is_imported:
                    continue  # a cell has no room to say that it was not checked
                told = catalogue.texts(sae).select(
                    pl.lit(layer).alias("layer"), pl.col("feature_id").alias("feature"), pl.col("text").alias(CATALOGUE)
                )
                parts.append(told.cast(_TOLD))
        every = pl.concat(parts)
        return every.group_by(list(_KEYS), maintain_order=True).agg(
            pl.col(CATALOGUE).unique(maintain_order=True).str.join(_BETWEEN)
        )

    def _open(self, place: _Place) -> PublishedCatalogue | str:
        known = self._opened.get(place.path)
        if known is not None and known[0] == place.stamp:
            return known[1]
        try:
            return PublishedCatalogue.open(place.path)
        except BadInput as fault:
            return f"catalogue {place.path.name}: {fault}"


def said_of(catalogue: PublishedCatalogue, sae: str, feature: int) -> list[dict[str, Any]]:
    """What a catalogue says of a feature: its explanations in the order of the tables, each with its scores."""
    found = catalogue.feature(sae, feature)
    scores = [_with_chance(row) for row in found.scores.iter_rows(named=True)]
    return [
        {
            **{name: row[name] for name in (*_EXPLANATION, *_ASKED)},
            "scores": [_told(one) for one in scores if _is_of(one, row)],
        }
        for row in found.explanations.iter_rows(named=True)
    ]


def over_features(catalogue: PublishedCatalogue) -> list[dict[str, Any]]:
    """The scores of each explainer and scorer over all features of the catalogue, examples of every kind and language.

    Raises:
        BadInput: the table is damaged.
    """
    table = catalogue.aggregates
    if table is None:
        return []
    every = pl.all_horizontal(pl.col("sae_id", "example_kind", "language").cast(pl.String) == ALL)
    return table.filter(every).select(*_OVER, *(name for name in _FLOOR if name in table.columns)).to_dicts()


def whole(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The scores over every kind and language of examples."""
    return [one for one in scores if one["example_kind"] == ALL and one["language"] in (ALL, None)]


def _is_of(score: Mapping[str, Any], explanation: Mapping[str, Any]) -> bool:
    """Whether a score is of an explanation: one in another language than English has that behind its explainer."""
    language = explanation["language"]
    return bool(score["explainer"] == explanation["explainer"] + ("" if language == "en" else f":{language}"))


def _with_chance(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "chance": CHANCE.get(row["metric"])}


def _told(score: Mapping[str, Any]) -> dict[str, Any]:
    return {name: score[name] for name in (*_SCORE, "chance")}


def _version(places: Iterable[_Place]) -> Hashable:
    return tuple((one.path.name, one.stamp) for one in places)


def _place(path: Path) -> _Place:
    try:
        stat = path.stat()
        return _Place(path, (stat.st_ino, stat.st_mtime_ns), max(stat.st_mtime_ns, path.lstat().st_mtime_ns))
    except OSError:
        return _Place(path, None, 0)
