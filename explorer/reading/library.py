"""The studies that are shown, and their layers: opened when first asked for, and again when their artefacts change.

An artefact is never written to in place: a new one is renamed into its place, and what is mapped stays what it was. A
layer's files are opened between two looks at its artefacts that must agree, and an answer is made of one opened layer.
"""

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from core.features.indexed_layer import IndexedLayer
from core.reading.records import opened, records_of, with_frozen
from core.reading.study import OpenedStudy
from core.store.artifacts import canonical_json
from core.store.workspace import Workspace, meant
from explorer.reading.catalogues import Catalogues
from explorer.reading.feature_table import feature_table
from explorer.reading.refusals import CONFLICT, NOT_THERE, Refusal
from explorer.reading.sorted_table import SortedTable
from explorer.reading.vocabulary import vocabulary

_MOST_BYTES = 512 << 20
"""Memory of the tables of layers that are kept open, the last used at least; their arrays are mapped."""
_LEFT_OUT = ("top_rows", "top_values")
"""Half of a layer's tables, and what its activations sorted by value show."""
_RELEASED_AFTER = 24 << 20
"""Bytes read through maps after which their pages are given back: they stay in the system's cache."""
_ENTRY, _AROUND = 8, 128 << 10
"""Bytes of an entry, and what the kernel maps around the first one of two arrays."""
_MOST_NAMES = 100
"""Spellings of studies whose meaning is remembered."""
_SETTLED_S = 0.1
"""Age of a folder's last change below which another may have the same time."""
Stamp = tuple[tuple[str, int, int], ...]


class ShownLayer:
    """A layer of a study as one opening found it; `version` is another when any byte of it is.

    `table(language, position_set)`, `sorted_table` of the same and `vocabulary()` are made of it when first asked for;
    `count` is told how many entries of the index are read.
    """

    def __init__(self, study: OpenedStudy, opened: "_Opened", version: str, count: Callable[[int], None]) -> None:
        self.study, self.version, self.count, self.opened = study, version, count, opened
        self.indexed = indexed = opened.indexed
        self.table = lru_cache(8)(partial(feature_table, indexed))
        self.sorted_table = lru_cache(8)(lambda language, position_set: SortedTable(self.table(language, position_set)))
        self.vocabulary = lru_cache(1)(partial(vocabulary, indexed.tokens))

    @property
    def sae(self) -> str:
        """The reference of the SAE's artefact, which labels belong to."""
        return self.study.layer_artifacts(self.indexed.layer).sae.ref


@dataclass(frozen=True)
class _Studies:
    """The studies by key, as one look found them, and what names were found to mean."""

    studies: dict[str, OpenedStudy]
    named: dict[str, OpenedStudy] = field(default_factory=dict)


class _Opened(NamedTuple):
    indexed: IndexedLayer
    size: int


class Library:
    """Studies of a workspace: those of these names with their variants, or all; and its `catalogues`."""

    def __init__(self, workspace: Workspace, names: Sequence[str] = ()) -> None:
        self._workspace, self._names = workspace, tuple(names)
        self._store, self.catalogues = workspace.store, Catalogues(workspace)
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._seen: Stamp | None = None
        self._now = _Studies({})
        self._layers: OrderedDict[tuple[str, int], ShownLayer] = OrderedDict()
        self._read = 0

    def studies(self) -> list[OpenedStudy]:
        """All that are shown, the latest first.

        Raises:
            BadInput: a record of the workspace is damaged, or none of the names has run.
        """
        return list(self._current().studies.values())

    def study(self, asked: str) -> OpenedStudy:
        """The study that somebody means by its key, title or name: of several runs the latest with its report.

        Raises:
            Refusal: none of those that are shown.
        """
        now = self._current()
        studies, named = now.studies, now.named
        if asked in named:
            return named[asked]
        own = {key: one for key, one in studies.items() if not one.of_frozen}
        records = [{"key": key, "study": one.config, **_layer(one)} for key, one in own.items()]
        found = [one for one in studies.values() if one.of_frozen and asked in (one.key, one.title)]
        found = found or [studies[record["key"]] for record in meant(records, asked)]
        if not found:
            known = ", ".join(list(dict.fromkeys(study.name for study in studies.values()))[:10]) or "none"
            raise Refusal(
                NOT_THERE, f"study {asked[:100]!r}: is not shown here; GET /studies lists them (there: {known})"
            )
        chosen = next((study for study in found if study.finished), found[0])
        if len(named) < _MOST_NAMES:
            named[asked] = chosen
        return chosen

    def layer(self, asked: str, layer: int) -> ShownLayer:
        """A layer of a study, as its artefacts are now.

        Raises:
            Refusal: no such study or layer is shown.
            BadInput: a file of it is damaged.
        """
        study = self.study(asked)
        if layer not in study.layers:
            raise Refusal(NOT_THERE, f"layer {layer} of {study.title} is not there; {which_layers(study)}")
        key = (study.key, layer)
        shown = self._layers.get(key)
        if shown is None or shown.study is not study:
            with self._opening:
                shown = self._look_again(study, layer, self._layers.get(key))
        self._keep(key, shown)
        return shown

    def _count(self, entries: int) -> None:
        """Count entries that were read through maps, and give the pages of all layers back from time to time."""
        with self._lock:
            self._read += _AROUND + _ENTRY * entries
            if self._read < _RELEASED_AFTER:
                return
            self._read = 0
            layers = list(self._layers.values())
        for shown in layers:
            shown.indexed.index.release()

    def _look_again(self, study: OpenedStudy, layer: int, before: ShownLayer | None) -> ShownLayer:
        """The layer as it is now: what was opened before, where no byte of it has changed."""
        if before is not None and before.study is study:
            return before  # opened by a request that came first
        version = self.version(study, layer)
        if before is not None and before.version == version:
            return ShownLayer(study, before.opened, version, self._count)
        for _ in range(3):
            indexed = study.indexed(layer)
            size = indexed.index.load_tables(without=_LEFT_OUT) + _size(indexed.associations)
            last, version = version, self.version(study, layer)
            if version == last:
                return ShownLayer(study, _Opened(indexed, size), version, self._count)
        raise Refusal(CONFLICT, f"layer {layer} of {study.title} is being made again; ask once more in a moment")

    def _keep(self, key: tuple[str, int], shown: ShownLayer) -> None:
        with self._lock:
            self._layers[key] = shown
            self._layers.move_to_end(key)
            total = sum(one.opened.size for one in self._layers.values())
            while total > _MOST_BYTES and len(self._layers) > 1:
                total -= self._layers.popitem(last=False)[1].opened.size

    def version(self, study: OpenedStudy, layer: int) -> str:
        """A hash of the study's key and of what the manifests of all that a layer is read from say of their files."""
        manifests = map(self._store.manifest, study.layer_artifacts(layer).all)
        said = [[manifest["unit"], manifest["files"]] for manifest in manifests]
        return hashlib.sha256(canonical_json([study.key, said]).encode()).hexdigest()[:20]

    def _current(self) -> "_Studies":
        """The studies as records and artefacts are now: a record is replaced, an artefact renamed into its folder."""
        seen = (*_stamps(self._store.root), *_stamps(self._workspace.studies))
        if seen != self._seen:
            with self._lock:
                self._now = _Studies({study.key: study for study in self._opened()})
                newest = max((changed for _, changed, _ in seen), default=0)
                self._seen = seen if abs(time.time_ns() - newest) > _SETTLED_S * 1e9 else None
        return self._now

    def _opened(self) -> Iterator[OpenedStudy]:
        records = self._workspace.records()
        if self._names:
            named = [record for name in self._names for record in records_of(self._workspace, name)]
            records = list({record["key"]: dict(record) for record in named}.values())
        for record in records:
            yield from with_frozen(opened(self._workspace, record))


def which_layers(study: OpenedStudy) -> str:
    """Which layers of a study can be asked for, in words; where there is none yet, how there will be some."""
    if study.layers:
        return f"ask for one of {', '.join(map(str, study.layers))}"
    goes_on = f"`saeflow run {study.name}` goes on with it"
    return f"no layer is indexed yet: `saeflow status` shows how far the run is, {goes_on}"


def _size(table: pl.DataFrame | None) -> int:
    return 0 if table is None else int(table.estimated_size())


def _layer(study: OpenedStudy) -> dict[str, int]:
    return {} if study.of_layer is None else {"layer": study.of_layer}


def _stamps(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Name, time and inode of each entry, in order of name: of what is renamed or replaced there, another."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat()) for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return
    yield from sorted((name, stat.st_mtime_ns, stat.st_ino) for name, stat in found)
