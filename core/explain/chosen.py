"""Which features of an SAE are in a catalogue, and which of its frozen dictionary stand beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from core.errors import BadInput
from core.features.index import FeatureIndex
from core.store.artifacts import Artifact
from core.study.catalogue import ChosenFeatures


@dataclass(frozen=True)
class ExampleTable:
    """A table of examples made elsewhere: its file, and the hash of what it holds."""

    file: Path
    content: str


@dataclass(frozen=True)
class CatalogueSAE:
    """An SAE whose features are explained.

    Args:
        sae_id: `STUDY/layer_17`, or `STUDY/layer_17-frozen` of its frozen dictionary; as a table calls it where the
            examples come from one.
        layer: its layer; null where the table's name for the SAE does not say it.
        features: the chosen ones, ascending.
        inputs: what they are read from (roles samples, shards, layer, sae, index and, where it is there, described).
        promotes: whether it is known which tokens its features promote.
        table: where its examples come from that were made elsewhere; it then has no inputs.
    """

    sae_id: str
    layer: int | None
    features: tuple[int, ...]
    inputs: Mapping[str, tuple[Artifact, ...]]
    promotes: bool
    table: ExampleTable | None = None


def chosen_features(
    index: FeatureIndex, wanted: ChosenFeatures, layer: int, ranked: Sequence[int] | None
) -> tuple[int, ...]:
    """The features of one layer, ascending.

    Args:
        index: the layer's feature index.
        wanted: how they are chosen.
        layer: the layer, for what is told.
        ranked: the features that go most with the study's concept, the best first; null where nothing was ranked.

    Raises:
        BadInput: one of those named is none of the layer's, or nothing was ranked.
    """
    if wanted.only is not None:
        return _named(index, wanted.only.get(layer, ()), layer)
    if wanted.by == "concept":
        if ranked is None:
            raise BadInput(
                f"features.by: layer {layer} has no ranking by a concept; take frequency or all, or name features"
            )
        return tuple(sorted(ranked[: wanted.per_layer]))
    alive = index.features.filter(pl.col("count") > 0)
    if wanted.by == "frequency":
        alive = alive.sort(pl.col("count"), "feature", descending=[True, False]).head(wanted.per_layer)
    return tuple(sorted(alive["feature"].to_list()))


def _named(index: FeatureIndex, features: Sequence[int], layer: int) -> tuple[int, ...]:
    beyond = next((feature for feature in features if feature >= index.num_features), None)
    if beyond is not None:
        raise BadInput(
            f"features.only: layer {layer} has features 0-{index.num_features - 1}, and {beyond} is none of them"
        )
    return tuple(sorted(set(features)))


def beside(
    features: Sequence[int], index: FeatureIndex, frozen: FeatureIndex, by: Literal["concept", "frequency", "all"]
) -> tuple[int, ...]:
    """Features of the frozen dictionary to compare the chosen ones with, ascending: all that fire where all were
    chosen; else one for each, the nearest in how often it fires of those that are left, the rarest chosen one first.

    How often a feature fires decides how easily it is explained; chosen so, it explains no difference.
    """
    counts = frozen.features.filter(pl.col("count") > 0).select("feature", "count")
    if by == "all":
        return tuple(sorted(counts["feature"].to_list()))
    free = counts["feature"].to_list()
    rates = np.log(counts["count"].to_numpy().astype(float))
    own = dict(index.features.select("feature", "count").iter_rows())
    taken: list[int] = []
    for feature in sorted(features, key=lambda one: (own.get(one, 0), one)):
        if not free:
            break
        place = int(np.argmin(np.abs(rates - np.log(max(own.get(feature, 0), 1)))))
        taken.append(free.pop(place))
        rates = np.delete(rates, place)
    return tuple(sorted(taken))
