"""One layer as analyses see it: its rows, their groups, its SAE, its feature index and its ranking."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Float

from core.activations.stream_rows import StreamRows, stream_rows
from core.activations.table import LayerTable
from core.data.concept import Concept
from core.features.feature_view import FeatureView
from core.features.index import FeatureIndex
from core.features.layer_features import LayerFeatures
from core.features.profile import Profile, profile_features
from core.features.ranking import Ranking, rank_features
from core.features.row_groups import FeatureSums, RowGrouper, RowGroups, sum_features, sum_stream
from core.features.token_rows import TokenRows
from core.sae.architectures import SparseAutoencoder


@dataclass(frozen=True)
class Ranked:
    """What `rank_features` left of a layer: how features go with the concept, and how they behave whatever it is."""

    ranking: Ranking
    profile: Profile


@dataclass(frozen=True, repr=False)
class LayerView:
    """One layer: rows and features aligned.

    `read_ranked` opens what the step `rank_features` left; without it both are computed from the index.
    """

    layer: int
    table: LayerTable
    sae: SparseAutoencoder
    index: FeatureIndex
    samples: pl.DataFrame
    languages: tuple[str, ...]
    concept: Concept
    group_rows: RowGrouper
    read_ranked: Callable[[], Ranked] | None = None

    def rows(self, segment: str | None = None, language: str | None = None) -> StreamRows:
        """The stream [T, D] and the tokens of a segment and a language, or of all rows where none is given.

        Rows that no caption changes are of the language `shared`. Special rows and outliers are among them: the column
        `special` of the tokens marks both.

        Raises:
            BadInput: there are no such rows; the message names those that there are.
        """
        return stream_rows(self.table, segment, language)

    def feature(self, feature: int) -> FeatureView:
        """One feature of the layer's SAE.

        Raises:
            BadInput: there is no such feature.
        """
        self.index.csc(feature)
        return FeatureView(feature, TokenRows(self.table.tokens), self.index, self.layer, self.sae)

    @property
    def features(self) -> LayerFeatures:
        """All features of the layer's SAE: `top(concept)` names those that go most with the concept."""
        return LayerFeatures(self.index, self.ranking)

    def __repr__(self) -> str:
        return f"<layer {self.layer}: {len(self.table)} rows × {self.table.d_model}, {self.sae.num_features} features>"

    @cached_property
    def groups(self) -> RowGroups:
        """The rows of one image in one language and position set."""
        return self.group_rows(self.table.tokens)

    @cached_property
    def feature_sums(self) -> FeatureSums:
        """Feature activations summed within groups; one pass over the index."""
        return sum_features(self.index, self.groups)

    @cached_property
    def stream_sums(self) -> Float[np.ndarray, "G D"]:
        """The residual stream summed within groups; one pass over the rows."""
        return sum_stream(self.table, self.groups)

    @cached_property
    def ranking(self) -> Ranking:
        """How every feature goes with the concept on the selection split."""
        if self._ranked is not None:
            return self._ranked.ranking
        return rank_features(self.feature_sums, self.samples, self.languages, self.concept)

    @cached_property
    def profile(self) -> Profile:
        """How every feature behaves on the selection split, whatever the label."""
        if self._ranked is not None:
            return self._ranked.profile
        return profile_features(self.index, self.table.tokens, self.samples, self.languages)

    @cached_property
    def _ranked(self) -> Ranked | None:
        return self.read_ranked() if self.read_ranked is not None else None
