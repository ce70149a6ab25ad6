"""Families of tests: a question's supported features × layers × languages × position sets, corrected together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float

from core.activations.stream_rows import SHARED
from core.data.concept import Concept
from core.features.associations import Labels, describe, labelled_images, supported_features
from core.features.row_groups import FeatureSums
from core.features.shuffles import shuffle_labels
from core.stats.families import ALPHA, corrected, threshold
from core.stats.intervals import permutation_p
from core.stats.ranks import rank, rank_test


class Small(NamedTuple):
    """The p-values of at most 0.05 in one layer, language and position set, run by run with shuffled labels."""

    language: str
    by_draw: list[Float[np.ndarray, " m"]]


SUMMARY = pl.Schema(
    {
        "question": pl.String(),
        "language": pl.String(),
        "tests": pl.UInt32(),
        "discoveries": pl.UInt32(),
        "share": pl.Float64(),
        "least_share": pl.Float64(),
        "runs": pl.UInt32(),
        "runs_with_discoveries": pl.UInt32(),
        "shuffled": pl.Float64(),
        "shuffled_low": pl.Float64(),
        "shuffled_high": pl.Float64(),
        "p": pl.Float64(),
        "q": pl.Float64(),
    }
)


@dataclass
class Families:
    """Gathers tests layer by layer; `finish` corrects them over all layers and languages, one family a question.

    Rows that all languages share are tested once, as language `shared`. `draws` runs with shuffled labels go through
    the very same tests; of them only p ≤ 0.05 are kept, which is all that Benjamini–Hochberg at 5 % can ever reject.
    """

    concept: Concept
    labels: Mapping[str, Labels]
    """By language, and those of shared rows (`Labels.by_language`)."""
    draws: int
    seed: int
    units: Mapping[str, int] | None = None
    """The unit of each image: an image and its twin are one."""
    split: str = "test"
    tested: list[pl.DataFrame] = field(default_factory=list)
    small: dict[str, list[Small]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.small = {question: [] for question in self.concept.questions.values()}
        self._shuffled = shuffle_labels(self.labels, self.split, self.draws, self.seed, self.units)

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
        own = sorted(set(self.labels) - {SHARED})
        for position_set in position_sets:
            for language in sums.groups.languages(position_set, own):
                self._add(layer, sums, language, position_set)

    def _add(self, layer: int, sums: FeatureSums, language: str, position_set: str) -> None:
        features = sums.by_image(language, position_set)
        known = labelled_images(features.images, self.labels[language], self.split)
        supported = supported_features(features)
        if known is None or supported.size == 0:
            return
        shuffled = self._shuffled.of([features.images[row] for row in known.rows], language)
        labels = np.concatenate([known.positive[:, None], shuffled], axis=1)
        areas, p = rank_test(rank(features.means[np.ix_(known.rows, supported)]), labels)
        place = [pl.lit(value).alias(name) for name, value in zip(_PLACE, (layer, language, position_set), strict=True)]
        found = describe(features, known, supported, self.concept.sides).with_columns(
            pl.Series("auroc", areas[:, 0]), pl.Series("p", p[:, 0]), *place
        )
        columns = self._schema
        self.tested.append(found.select(columns.names()).cast(columns))
        small = [values[values <= ALPHA] for values in p[:, 1:].T]
        self.small[self.concept.questions[position_set]].append(Small(language, small))

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
        """How many features each run with shuffled labels discovers at 5 %, by question and language, over the same
        families: question, language, draw, discoveries, tests."""
        names, numbers = ("question", "language"), ("draw", "discoveries", "tests")
        schema = dict.fromkeys(names, pl.String) | dict.fromkeys(numbers, pl.UInt32)
        rows = []
        for question, parts in self.small.items():
            tests = self._tests(question)
            for draw in range(self.draws if parts else 0):
                cut = threshold(np.concatenate([part.by_draw[draw] for part in parts]), sum(tests.values()))
                rows += [
                    (question, language, draw, self._at(question, language, draw, cut), tests[language])
                    for language in sorted(tests)
                ]
        return pl.DataFrame(rows, schema, orient="row")

    def _tests(self, question: str) -> dict[str, int]:
        tests: dict[str, int] = {}
        for table in self.tested:
            if self.concept.questions[table["position_set"][0]] == question:
                tests[table["language"][0]] = tests.get(table["language"][0], 0) + table.height
        return tests

    def _at(self, question: str, language: str, draw: int, cut: float) -> int:
        """How many tests of a language have a p of at most `cut` in a run with shuffled labels."""
        parts = (part for part in self.small[question] if part.language == language)
        return sum(int((part.by_draw[draw] <= cut).sum()) for part in parts)

    def summary(self, associations: pl.DataFrame, shuffled: pl.DataFrame) -> pl.DataFrame:
        """Discoveries by question and language, against the runs with shuffled labels.

        Args:
            associations: what `finish` returned.
            shuffled: what `false_discoveries` returned.

        Returns:
            question, language, tests, discoveries (q ≤ 0.05), share (of the tests), least_share (the share that is
            true at least, with 97.5 % confidence: less those that shuffled runs have at the same p; Hemerik & Goeman
            2018), runs, runs_with_discoveries, shuffled, shuffled_low, shuffled_high (a run's share: median, 2.5th and
            97.5th percentile), p ((1 + runs with as many) / (1 + runs)), q over the question's languages.
        """
        rows = list(self._summaries(associations, shuffled))
        table = pl.DataFrame(rows, schema={name: kind for name, kind in SUMMARY.items() if name != "q"})
        families = [corrected(part) for part in table.partition_by("question", maintain_order=True)]
        return pl.concat([SUMMARY.to_frame(), *families])

    def _summaries(self, associations: pl.DataFrame, shuffled: pl.DataFrame) -> Iterator[dict[str, object]]:
        for (question, language), runs in shuffled.group_by("question", "language", maintain_order=True):
            tested = associations.filter(question=question, language=language)
            passed = associations.filter(pl.col("q") <= ALPHA, question=question)
            cut = float(passed["p"].max()) if passed.height else -1.0  # type: ignore[arg-type]
            found, counts = int((tested["q"] <= ALPHA).sum()), runs["discoveries"].to_numpy()
            shares = counts / tested.height
            lucky = [self._at(str(question), str(language), draw, cut) for draw in range(self.draws)]
            yield {
                "question": question,
                "language": language,
                "tests": tested.height,
                "discoveries": found,
                "share": found / tested.height,
                "least_share": max(0, found - int(np.quantile(lucky, 0.975, method="higher"))) / tested.height,
                "runs": len(counts),
                "runs_with_discoveries": int((counts > 0).sum()),
                "shuffled": float(np.median(shares)),
                "shuffled_low": float(np.quantile(shares, 0.025, method="lower")),
                "shuffled_high": float(np.quantile(shares, 0.975, method="higher")),
                "p": permutation_p(found, counts),
            }


_PLACE = ("layer", "language", "position_set")
