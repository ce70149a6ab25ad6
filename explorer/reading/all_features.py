"""The features of all layers of a study as one table: of a layer only the columns that are shown of it are read."""

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple

import polars as pl

from core.features.indexed_layer import ASSOCIATIONS
from core.reading.study import OpenedStudy
from explorer.reading.feature_table import strongest
from explorer.reading.library import Library

COLUMNS = ("feature", "count", "density", "mean", "max", "samples", "images", "idf")
_TESTED = ("feature", "language", "position_set", "auroc", "p", "q")
_ASSOCIATED = {
    "feature": pl.UInt32(),
    "associated_language": pl.String(),
    "associated_set": pl.String(),
    "association": pl.Float64(),
    "auroc": pl.Float32(),
    "q": pl.Float64(),
}
_MOST_STUDIES = 2
"""Tables that are kept: one of 700,000 features has 67 MB."""


class Version(NamedTuple):
    """A study, and the versions of its layers."""

    study: str
    layers: tuple[str, ...]


class _Known(NamedTuple):
    study: OpenedStudy
    version: Version
    table: pl.DataFrame


class AllFeatures:
    """The tables of the studies that were asked for last, each as long as no layer of it changes."""

    def __init__(self, library: Library) -> None:
        self._library, self._lock = library, Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def of(self, study: OpenedStudy) -> tuple[Version, pl.DataFrame]:
        """The table, one row per layer and feature in this order, and its version.

        Raises:
            BadInput: a file of a layer is missing or damaged.
        """
        with self._lock:
            known = self._known.get(study.key)
            if known is None or known.study is not study:
                known = self._known[study.key] = self._looked_at(study, known)
            self._known.move_to_end(study.key)
            while len(self._known) > _MOST_STUDIES:
                self._known.popitem(last=False)
        return known.version, known.table

    def _looked_at(self, study: OpenedStudy, before: _Known | None) -> _Known:
        version = Version(study.key, tuple(self._library.version(study, layer) for layer in study.layers))
        if before is not None and before.version == version:
            return _Known(study, version, before.table)
        parts = [of_layer(study, layer) for layer in study.layers]
        return _Known(study, version, pl.concat(parts, how="vertical_relaxed") if parts else pl.DataFrame())


def of_layer(study: OpenedStudy, layer: int) -> pl.DataFrame:
    """A layer's rows of the table: `layer`, `COLUMNS`, and the strongest association of each feature.

    Raises:
        BadInput: a file of the layer is missing or damaged.
    """
    file = study.index(layer).folder / "features.parquet"
    statistics = pl.read_parquet(file, columns=list(COLUMNS), glob=False).select(COLUMNS).sort("feature")
    folder = study.ranking(layer)
    found = pl.DataFrame(schema=_ASSOCIATED)
    if folder is not None:
        named = strongest(pl.read_parquet(folder / ASSOCIATIONS, columns=list(_TESTED), glob=False))
        found = named.rename({"language": "associated_language", "position_set": "associated_set"}).select(*_ASSOCIATED)
    joined = statistics.join(found, on="feature", how="left", maintain_order="left")
    return joined.select(pl.lit(layer, pl.UInt16).alias("layer"), pl.all())
