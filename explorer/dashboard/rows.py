"""Tables of features with their labels and explanations, and which of their rows are asked for, in which order."""

import re
from collections.abc import Hashable, Iterable
from typing import NamedTuple

import polars as pl

from core.reading.study import OpenedStudy
from explorer.dashboard.found import found
from explorer.reading.all_features import AllFeatures
from explorer.reading.catalogues import CATALOGUE
from explorer.reading.feature_table import LABEL, places
from explorer.reading.kept import Kept
from explorer.reading.refusals import UNUSABLE, Refusal
from explorer.server.served import Served

_TEXTS = (LABEL, CATALOGUE, "explanation")
_KEYS = pl.Schema({"layer": pl.UInt16, "feature": pl.UInt32})
_BEST_FIRST = "-association"
_LAYERS = re.compile(r"(\d{1,5})(?:\s*[-–]\s*(\d{1,5}))?")
_MOST_RANGES = 50


class Wanted(NamedTuple):
    """What is looked for: `q` in labels, what catalogues say, explanations and numbers; terms as the API's `filter`; a
    column; and layers as `8, 10-12`."""

    q: str = ""
    terms: str = ""
    sort: str = ""
    layers: str = ""


class Source(NamedTuple):
    """A table of features; another `state` whenever any value of it is another."""

    state: Hashable
    table: pl.DataFrame

    @property
    def usual_sort(self) -> str:
        """The strongest association first, or the feature's number where nothing was ranked."""
        known = "association" in self.table.columns and self.table["association"].is_not_null().any()
        return _BEST_FIRST if known else "feature"


class Tables:
    """The tables of layers and of studies, as pages show them; the last ones are kept, and the last orders of rows."""

    def __init__(self, served: Served) -> None:
        self._served, self._all = served, AllFeatures(served.library)
        self._sources: Kept[pl.DataFrame] = Kept(3)
        self._orders: Kept[pl.Series] = Kept(16)

    def of_layer(self, name: str, layer: int) -> tuple[OpenedStudy, Source]:
        """All statistics of a layer's features.

        Raises:
            Refusal: no such study or layer is shown.
        """
        shown = self._served.library.layer(name, layer)
        table = shown.table(None, None).with_columns(pl.lit(layer, pl.UInt16).alias("layer"))
        return shown.study, self._source(shown.study, (shown.version,), table, (layer,))

    def of_study(self, name: str) -> tuple[OpenedStudy, Source]:
        """The features of all layers of a study.

        Raises:
            Refusal: no such study is shown.
            BadInput: a file of a layer is damaged.
        """
        study = self._served.library.study(name)
        version, table = self._all.of(study)
        return study, self._source(study, version, table, study.layers)

    def order(self, source: Source, wanted: Wanted) -> pl.Series:
        """The numbers of the rows that are looked for, sorted; ties stay as they are, by layer and feature.

        Raises:
            Refusal: a term, a column or a layer cannot be read.
        """
        return self._orders.get((source.state, wanted), lambda: _order(source, wanted))

    def _source(
        self, study: OpenedStudy, version: tuple[Hashable, ...], table: pl.DataFrame, layers: Iterable[int]
    ) -> Source:
        made = tuple(one.ref for one in study.artifacts if one.step == "interpretation")
        texts = (self._served.labels.version(), self._served.library.catalogues.version())
        state = (str(study.workspace.root), study.key, version, texts, made)
        return Source(state, self._sources.get(state, lambda: self._told(study, table, layers)))

    def _told(self, study: OpenedStudy, table: pl.DataFrame, layers: Iterable[int]) -> pl.DataFrame:
        """The table with the text of each feature's label, what catalogues say of it, and its best explanation of the
        analysis of interpretation; null where it has none."""
        if not table.width:
            return table
        catalogues = self._served.library.catalogues.texts(study, layers)
        for told in (self._labels(study, layers), catalogues, _explanations(study)):
            table = table.join(told, on=list(_KEYS), how="left", maintain_order="left")
        return table

    def _labels(self, study: OpenedStudy, layers: Iterable[int]) -> pl.DataFrame:
        rows = [
            (layer, feature, change.text)
            for layer in layers
            for feature, change in self._served.labels.current(study.layer_artifacts(layer).sae.ref).items()
        ]
        return pl.DataFrame(rows, {**_KEYS, LABEL: pl.String}, orient="row")


def _explanations(study: OpenedStudy) -> pl.DataFrame:
    """What the analysis of interpretation says of features: its description, or else the explanation of best score."""
    interpretation, keys = found(study, "interpretation"), list(_KEYS)
    parts = [pl.DataFrame(schema={**_KEYS, "explanation": pl.String})]
    described = interpretation.table("described")
    if described is not None and {*_KEYS, "in_words"} <= set(described.columns):
        parts.append(described.select(*keys, pl.col("in_words").alias("explanation")).drop_nulls().cast(_KEYS))
    made = interpretation.table("explanations")
    if made is not None and {*_KEYS, "explanation", "score"} <= set(made.columns):
        parts.append(made.sort("score", descending=True, nulls_last=True).select(*keys, "explanation").cast(_KEYS))
    return pl.concat(parts).unique(keys, keep="first", maintain_order=True)


def _order(source: Source, wanted: Wanted) -> pl.Series:
    if not source.table.width:
        return pl.Series(dtype=pl.UInt32)
    terms = [term.strip() for term in wanted.terms.split(",") if term.strip()]
    also = [_said(wanted.q)] if wanted.q else []
    also += [_in_layers(wanted.layers)] if wanted.layers else []
    both = pl.all_horizontal(also) if also else None
    return places(source.table, terms, wanted.sort or source.usual_sort, both)


def _said(text: str) -> pl.Expr:
    """Rows whose label or explanation holds the text, or whose feature has this number."""
    words = [
        pl.col(name).str.to_lowercase().str.contains(text.lower(), literal=True).fill_null(False) for name in _TEXTS
    ]
    number = [pl.col("feature") == int(text)] if text.isdecimal() and len(text) < 10 else []
    return pl.any_horizontal(*words, *number)


def _in_layers(asked: str) -> pl.Expr:
    """Rows of layers that are named one by one or by ranges: `8, 10-12`."""
    parts = [part.strip() for part in asked.split(",") if part.strip()]
    if len(parts) > _MOST_RANGES:
        raise Refusal(UNUSABLE, f"layers: has {len(parts)} parts; give at most {_MOST_RANGES}")
    ranges = []
    for part in parts:
        read = _LAYERS.fullmatch(part)
        if read is None:
            raise Refusal(UNUSABLE, f"layers: {part[:50]!r} is no layer; write 8 or 10-12, with commas between")
        ranges.append(pl.col("layer").is_between(int(read[1]), int(read[2] or read[1])))
    return pl.any_horizontal(ranges) if ranges else pl.lit(True)
