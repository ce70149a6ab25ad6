"""One layer as a reader of a study sees it: the stream's rows, their tokens, the autoencoder, and its features."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from jaxtyping import Float
from torch import Tensor

from core.activations.table import LayerTable
from core.errors import BadInput
from core.features import examples
from core.features.index import FeatureIndex
from core.sae.architectures import SparseAutoencoder
from core.sae.formats import load_sae

SHARED = "shared"
"""The language of rows that no caption changes."""


class Rows(NamedTuple):
    """Rows of the stream in float32, in the units of the stream, and the token of each."""

    stream: Float[Tensor, "T D"]
    tokens: pl.DataFrame


@dataclass(frozen=True, repr=False)
class OpenedLayer:
    """One layer: its rows, its SAE and its feature index, rows and features aligned."""

    layer: int
    table: LayerTable
    sae: SparseAutoencoder
    index: FeatureIndex

    @classmethod
    def open(cls, layer: int, shards: Sequence[Path], table: Path, sae: Path, index: Path) -> "OpenedLayer":
        """Open what `capture`, `extract_layer`, an SAE's step and `index_features` left in their folders.

        Raises:
            BadInput: a file is missing or does not fit the others.
        """
        return cls(layer, LayerTable.open(shards, layer, keep=table), load_sae(sae), FeatureIndex.open(index))

    def rows(self, segment: str | None = None, language: str | None = None) -> Rows:
        """The rows of a segment and a language, or of all where none is given.

        Rows that no caption changes, such as those of an image before it, are of the language `shared`. Special rows
        and outliers are among them: column `special` of the tokens marks both.

        Raises:
            BadInput: there are no such rows; the message names those that there are.
        """
        tokens = self.table.tokens
        kinds = tokens.select("segment", pl.col("language").fill_null(SHARED))
        wanted = {name: value for name, value in (("segment", segment), ("language", language)) if value is not None}
        chosen = kinds.with_row_index("at").filter(pl.lit(True), **wanted)["at"]
        if wanted and chosen.is_empty():
            asked = " and ".join(f"{name} {value!r}" for name, value in wanted.items())
            raise BadInput(f"layer {self.layer}: no rows of {asked}; there are {_known(kinds)}")
        return Rows(self.table.read(chosen.to_numpy()), tokens[chosen])

    def feature(self, feature: int) -> "OpenedFeature":
        """One feature of the layer's autoencoder.

        Raises:
            BadInput: there is no such feature.
        """
        self.index.csc(feature)
        return OpenedFeature(self, feature)

    def __repr__(self) -> str:
        return f"<layer {self.layer}: {len(self.table)} rows × {self.table.d_model}, {self.sae.num_features} features>"


def _known(kinds: pl.DataFrame) -> str:
    pairs = kinds.unique().sort("segment", "language")
    return ", ".join(f"{segment} ({language})" for segment, language in pairs.iter_rows())


@dataclass(frozen=True, repr=False)
class OpenedFeature:
    """One feature of a layer's autoencoder."""

    opened: OpenedLayer
    feature: int

    @property
    def statistics(self) -> dict[str, Any]:
        """How often and how strongly it fires: the columns of `core.features.statistics.FEATURES`."""
        return self._of(self.opened.index.features).row(0, named=True)

    @property
    def positions(self) -> pl.DataFrame:
        """How often and how strongly by language and position set, where it fires at all."""
        return self._of(self.opened.index.positions)

    @property
    def neighbours(self) -> pl.DataFrame:
        """The features of most similar decoder directions, the nearest first: neighbour and cosine."""
        return self._of(self.opened.index.neighbours)

    @property
    def coactivation(self) -> pl.DataFrame:
        """The features that fire in the same rows, by Jaccard index."""
        return self._of(self.opened.index.coactivation)

    @property
    def activations(self) -> pl.DataFrame:
        """The tokens of the rows that it is active in, and its `value` there, in the layer's order."""
        rows, values = self.opened.index.csc(self.feature)
        return self.opened.table.tokens[rows].with_columns(pl.Series("value", values, pl.Float32))

    @property
    def direction(self) -> Float[Tensor, " D"]:
        """What one unit of it adds to the stream: its row of the decoder."""
        return self.opened.sae.W_dec.detach()[self.feature]

    def examples(self, quantiles: int = 4, contexts: int = 3, window: int = 32) -> pl.DataFrame:
        """Up to `contexts` rows from each of `quantiles` bands of its activations, strongest band first, each with
        the `window` tokens around it: the columns of `core.features.examples.EXAMPLES`."""
        index, table = self.opened.index, self.opened.table
        return examples.examples(index, table, self.feature, quantiles, contexts, window)

    def _of(self, table: pl.DataFrame) -> pl.DataFrame:
        return table.filter(feature=self.feature)

    def __repr__(self) -> str:
        return f"<feature {self.feature} of layer {self.opened.layer}: active in {self.statistics['count']} rows>"
