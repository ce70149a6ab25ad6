"""Which features go with a concept: rank tests over images, features tested side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool
from scipy import stats

from core.activations.stream_rows import SHARED
from core.data.concept import Concept
from core.features.row_groups import FeatureSums, ImageFeatures
from core.stats.ranks import rank, rank_test

MIN_IMAGES = 20
"""Least images a feature fires on (or 1 % of them, if that is more) to be tested."""
MIN_CLASS = 5
"""Least images of each side for a test."""


def schema(sides: tuple[str, str]) -> pl.Schema:
    """Columns of `associate`; `sides` are the concept's."""
    one, other = sides
    return pl.Schema(
        {
            "feature": pl.UInt32,
            "auroc": pl.Float32,
            "p": pl.Float64,
            "q": pl.Float64,
            "log_odds": pl.Float32,
            f"mean_{one}": pl.Float32,
            f"mean_{other}": pl.Float32,
            f"active_{one}": pl.Float32,
            f"active_{other}": pl.Float32,
            "support": pl.UInt32,
        }
    )


@dataclass(frozen=True)
class Labels:
    """The images of a study by the side that their captions in one language are on.

    `table` has image_id, split, positive (`Concept.image_labels`); `sides` name true and false.
    """

    table: pl.DataFrame
    sides: tuple[str, str]

    @classmethod
    def of(cls, concept: Concept, samples: pl.DataFrame, language: str) -> "Labels":
        """The labels in one language."""
        return cls(concept.image_labels(samples, language), concept.sides)

    @classmethod
    def shared(cls, concept: Concept, samples: pl.DataFrame, languages: Sequence[str]) -> "Labels":
        """The labels that the captions of all languages together give an image: null where they disagree."""
        column = concept.label_column(languages[0])
        own = (pl.col(concept.label_column(language)).alias(column) for language in languages)
        every = pl.concat([samples.select("image_id", "split", label) for label in own])
        return cls(concept.image_labels(every, languages[0]), concept.sides)

    @classmethod
    def by_language(cls, concept: Concept, samples: pl.DataFrame, languages: Sequence[str]) -> "dict[str, Labels]":
        """The labels in each language, and those of rows that all languages share."""
        own = {language: cls.of(concept, samples, language) for language in languages}
        return {**own, SHARED: cls.shared(concept, samples, languages)}


def associate(sums: FeatureSums, labels: Labels, language: str, position_set: str, split: str) -> pl.DataFrame:
    """Test every supported feature of a layer for the caption's side, images as units.

    Returns:
        One row per feature that passes the label-blind support filter, by feature: auroc (above ½: more active on the
        first side), p (two-sided Mann-Whitney, ties corrected), q (Benjamini-Hochberg within this call alone; a claim
        over layers and languages is corrected over all of them by its caller), log_odds of firing on an image at all,
        mean_… over images, active_… over active rows, support (images it fires on, all splits). Empty when a side has
        fewer than 5 images in the split.
    """
    features = sums.by_image(language, position_set)
    known = labelled_images(features.images, labels, split)
    columns = schema(labels.sides)
    if known is None:
        return columns.to_frame()
    supported = supported_features(features)
    ranked = rank(features.means[np.ix_(known.rows, supported)])
    areas, p = rank_test(ranked, known.positive[:, None])
    described = describe(features, known, supported, labels.sides)
    frame = described.with_columns(pl.Series("auroc", areas[:, 0]), pl.Series("p", p[:, 0]))
    q = stats.false_discovery_control(p[:, 0]) if supported.size else p[:, 0]
    return frame.with_columns(pl.Series("q", q)).select(columns.names()).cast(columns)


@dataclass(frozen=True)
class LabelledImages:
    """The images of a split that are on a side: their `rows` among all, and whether each is on the first."""

    rows: np.ndarray
    positive: Bool[np.ndarray, " n"]


def labelled_images(images: list[str], labels: Labels, split: str) -> LabelledImages | None:
    """The images of `split` that are on a side; null when either side has fewer than 5."""
    frame = pl.DataFrame({"image_id": images}, schema={"image_id": pl.String}).with_row_index("row")
    known = frame.join(labels.table, on="image_id", how="inner", maintain_order="left").filter(
        (pl.col("split") == split) & pl.col("positive").is_not_null()
    )
    positive = known["positive"].to_numpy().astype(bool)
    if min(int(positive.sum()), int((~positive).sum())) < MIN_CLASS:
        return None
    return LabelledImages(known["row"].to_numpy().astype(np.int64), positive)


def supported_features(features: ImageFeatures) -> np.ndarray:
    """Features that fire on at least max(20, 1 %) of the images there, whatever their label or split."""
    support = (features.fired > 0).sum(axis=0)
    return np.flatnonzero(support >= max(MIN_IMAGES, 0.01 * len(features.images)))


def describe(
    features: ImageFeatures, known: LabelledImages, supported: np.ndarray, sides: tuple[str, str]
) -> pl.DataFrame:
    """Support, firing-rate log odds ratio (Haldane's ½ added) and means by side of the supported features."""
    means, fired, totals = (m[np.ix_(known.rows, supported)] for m in (features.means, features.fired, features.totals))
    columns: dict[str, np.ndarray] = {"feature": supported, "support": (features.fired > 0).sum(axis=0)[supported]}
    odds = []
    for name, chosen in zip(sides, (known.positive, ~known.positive), strict=True):
        columns[f"mean_{name}"] = means[chosen].mean(axis=0)
        columns[f"active_{name}"] = totals[chosen].sum(axis=0) / np.maximum(fired[chosen].sum(axis=0), 1)
        firing = (fired[chosen] > 0).sum(axis=0)
        odds.append(np.log((firing + 0.5) / (chosen.sum() - firing + 0.5)))
    columns["log_odds"] = odds[0] - odds[1]
    return pl.DataFrame(columns)
