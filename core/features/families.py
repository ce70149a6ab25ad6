"""Families of tests: a question's supported features × layers × languages × position sets, corrected together."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from core.data.concept import Concept
from core.features.associations import Labels, describe, labelled_images, supported_features
from core.features.row_groups import FeatureSums
from core.stats.families import ALPHA, corrected, discoveries
from core.stats.ranks import rank, rank_test


@dataclass
class Families:
    """Gathers tests layer by layer; `finish` corrects them over all layers and languages, one family a question.

    `draws` runs with shuffled labels go through the very same tests; of them only p ≤ 0.05 are kept, which is all
    that Benjamini–Hochberg at 5 % can ever reject.
    """

    concept: Concept
    labels: Mapping[str, Labels]
    """By language."""
    draws: int
    seed: int
    split: str = "test"
    tested: list[pl.DataFrame] = field(default_factory=list)
    small: dict[str, list[list[np.ndarray]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.small = {question: [[] for _ in range(self.draws)] for question in self.concept.questions.values()}
        self._orders = shuffled_images(self.labels, self.split, self.draws, self.seed)

    @property
    def _schema(self) -> pl.Schema:
        described = ("log_odds", *(f"{what}_{side}" for what in ("mean", "active") for side in self.concept.sides))
        return pl.Schema(
            {
                "layer": pl.UInt16,
                "language": pl.String,
                "position_set": pl.String,
                "feature": pl.UInt32,
                "auroc": pl.Float32,
                "p": pl.Float64,
                **dict.fromkeys(described, pl.Float32),
                "support": pl.UInt32,
            }
        )

    def add(self, layer: int, sums: FeatureSums, position_sets: tuple[str, ...]) -> None:
        """Test a layer's features at each position set in each language."""
        for language in sorted(self.labels):
            for position_set in position_sets:
                self._add(layer, sums, language, position_set)

    def _add(self, layer: int, sums: FeatureSums, language: str, position_set: str) -> None:
        features = sums.by_image(language, position_set)
        known = labelled_images(features.images, self.labels[language], self.split)
        supported = supported_features(features)
        if known is None or supported.size == 0:
            return
        names = [features.images[row] for row in known.rows]
        shuffled = [[order[language][name] for name in names] for order in self._orders]
        labels = np.array([known.positive.tolist(), *shuffled], dtype=bool).T
        areas, p = rank_test(rank(features.means[np.ix_(known.rows, supported)]), labels)
        place = [pl.lit(value).alias(name) for name, value in zip(_PLACE, (layer, language, position_set), strict=True)]
        found = describe(features, known, supported, self.concept.sides).with_columns(
            pl.Series("auroc", areas[:, 0]), pl.Series("p", p[:, 0]), *place
        )
        columns = self._schema
        self.tested.append(found.select(columns.names()).cast(columns))
        for draw, values in enumerate(p[:, 1:].T):
            self.small[self.concept.questions[position_set]][draw].append(values[values <= ALPHA])

    def finish(self) -> pl.DataFrame:
        """All tests: question, layer, language, position_set, feature, auroc, p, q over the question's family, and
        descriptions."""
        table = pl.concat(self.tested) if self.tested else self._schema.to_frame()
        question = (
            pl.col("position_set")
            .replace_strict(dict(self.concept.questions), return_dtype=pl.String)
            .alias("question")
        )
        asked = table.select(question, pl.all())
        families = [corrected(part) for part in asked.partition_by("question", maintain_order=True)]
        return pl.concat(families) if families else corrected(asked)

    def false_discoveries(self) -> pl.DataFrame:
        """How many features each run with shuffled labels discovers at 5 %, by question, over the same families."""
        schema = {"question": pl.String, "draw": pl.UInt32, "discoveries": pl.UInt32, "tests": pl.UInt32}
        rows = []
        for question, draws in self.small.items():
            tested = (table for table in self.tested if self.concept.questions[table["position_set"][0]] == question)
            size = sum(table.height for table in tested)
            for draw, small in enumerate(draws if size else ()):
                found = discoveries(np.concatenate(small) if small else np.zeros(0), size)
                rows.append((question, draw, found, size))
        return pl.DataFrame(rows, schema, orient="row")


_PLACE = ("layer", "language", "position_set")


def shuffled_images(
    labels: Mapping[str, Labels], split: str, draws: int, seed: int
) -> list[dict[str, dict[str, bool]]]:
    """Labels shuffled among the split's images, an image's languages moving together: per draw, language and image.

    Images are exchanged with images labelled in the same languages only, so that no test loses a unit.
    """
    frame = _wide(labels, split)
    names, known = frame["image_id"].to_list(), _matrix(frame, labels)
    rng = np.random.default_rng(seed)
    patterns = [tuple(row) for row in ~np.isnan(known)]
    strata = [np.array([n for n, p in enumerate(patterns) if p == pattern]) for pattern in sorted(set(patterns))]
    orders = []
    for _ in range(draws):
        moved = known.copy()
        for stratum in strata:
            moved[stratum] = known[rng.permutation(stratum)]
        orders.append(
            {language: _named(names, moved[:, column] == 1) for column, language in enumerate(sorted(labels))}
        )
    return orders


def _named(names: list[str], positive: Bool[np.ndarray, " n"]) -> dict[str, bool]:
    return dict(zip(names, positive.tolist(), strict=True))


def _wide(labels: Mapping[str, Labels], split: str) -> pl.DataFrame:
    """image_id and a column `positive_<language>` each, for the split's images, by image_id."""
    languages = sorted(labels)
    frames = [labels[language].table.filter(pl.col("split") == split) for language in languages]
    wide = frames[0].select("image_id")
    for language, frame in zip(languages, frames, strict=True):
        column = frame.select("image_id", pl.col("positive").alias(f"positive_{language}"))
        wide = wide.join(column, on="image_id", how="left")
    return wide.sort("image_id")


def _matrix(frame: pl.DataFrame, labels: Mapping[str, Labels]) -> Float[np.ndarray, "n languages"]:
    columns = [f"positive_{language}" for language in sorted(labels)]
    return frame.select(pl.col(columns).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
