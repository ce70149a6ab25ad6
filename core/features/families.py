"""Families of tests: a question's supported features × layers × languages × position sets, corrected together."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from scipy import stats

from core.features.associations import describe, rank, rank_test, select_units, supported_features
from core.features.row_groups import FeatureCells

ALPHA = 0.05
"""False discovery rate that is called a discovery."""
QUESTIONS = {
    "image": "picture",
    "last-prompt": "decision",
    "pre-gender": "decision",
    "first-gendered": "words",
    "later-gendered": "words",
}
"""What is asked at a position set: does gender show in the picture, before it is spoken, or in the words themselves?
Thousands of sure finds on gendered words would otherwise lend their false discovery rate to the decision positions."""


@dataclass
class Families:
    """Gathers tests layer by layer; `finish` corrects them over all layers and languages, one family a question.

    `draws` runs with shuffled labels go through the very same tests; of them only p ≤ 0.05 are kept, which is all
    that Benjamini–Hochberg at 5 % can ever reject.
    """

    labels: dict[str, pl.DataFrame]
    draws: int
    seed: int
    split: str = "test"
    tested: list[pl.DataFrame] = field(default_factory=list)
    small: dict[str, list[list[np.ndarray]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.small = {question: [[] for _ in range(self.draws)] for question in QUESTIONS.values()}
        self._orders = shuffled_images(self.labels, self.split, self.draws, self.seed)

    def add(self, layer: int, cells: FeatureCells, position_sets: tuple[str, ...]) -> None:
        """Test a layer's features at each position set in each language."""
        for language in sorted(self.labels):
            for position_set in position_sets:
                self._add(layer, cells, language, position_set)

    def _add(self, layer: int, cells: FeatureCells, language: str, position_set: str) -> None:
        units = cells.units(language, position_set)
        known = select_units(units.images, self.labels[language], self.split)
        supported = supported_features(units)
        if known is None or supported.size == 0:
            return
        names = [units.images[row] for row in known.rows]
        shuffled = [[order[language][name] for name in names] for order in self._orders]
        female = np.array([known.female.tolist(), *shuffled], dtype=bool).T
        areas, p = rank_test(rank(units.means[np.ix_(known.rows, supported)]), female)
        place = [pl.lit(value).alias(name) for name, value in zip(_PLACE, (layer, language, position_set), strict=True)]
        found = describe(units, known, supported).with_columns(
            pl.Series("auroc", areas[:, 0]), pl.Series("p", p[:, 0]), *place
        )
        self.tested.append(found.select(*_PLACE, *_COLUMNS).cast(_SCHEMA))
        for draw, values in enumerate(p[:, 1:].T):
            self.small[QUESTIONS[position_set]][draw].append(values[values <= ALPHA])

    def finish(self) -> pl.DataFrame:
        """All tests: question, layer, language, position_set, feature, auroc, p, q over the question's family, and
        descriptions."""
        table = pl.concat(self.tested) if self.tested else _SCHEMA.to_frame()
        question = pl.col("position_set").replace_strict(QUESTIONS, return_dtype=pl.String).alias("question")
        asked = table.select(question, pl.all())
        corrected = [_corrected(part) for part in asked.partition_by("question", maintain_order=True)]
        return pl.concat(corrected) if corrected else _corrected(asked)

    def false_discoveries(self) -> pl.DataFrame:
        """How many features each run with shuffled labels discovers at 5 %, by question, over the same families."""
        schema = {"question": pl.String, "draw": pl.UInt32, "discoveries": pl.UInt32, "tests": pl.UInt32}
        rows = []
        for question, draws in self.small.items():
            tested = (table for table in self.tested if QUESTIONS[table["position_set"][0]] == question)
            size = sum(table.height for table in tested)
            for draw, small in enumerate(draws if size else ()):
                found = discoveries(np.concatenate(small) if small else np.zeros(0), size)
                rows.append((question, draw, found, size))
        return pl.DataFrame(rows, schema, orient="row")


def _corrected(family: pl.DataFrame) -> pl.DataFrame:
    q = stats.false_discovery_control(family["p"].to_numpy()) if family.height else np.zeros(0)
    return family.with_columns(pl.Series("q", q, dtype=pl.Float64))


_PLACE = ("layer", "language", "position_set")
_DESCRIPTIONS = ("log_odds", "mean_female", "mean_male", "active_female", "active_male")
_COLUMNS = ("feature", "auroc", "p", *_DESCRIPTIONS, "support")
_SCHEMA = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "position_set": pl.String,
        "feature": pl.UInt32,
        "auroc": pl.Float32,
        "p": pl.Float64,
        **dict.fromkeys(_DESCRIPTIONS, pl.Float32),
        "support": pl.UInt32,
    }
)


def discoveries(small: Float[np.ndarray, " m"], tests: int) -> int:
    """Rejections of Benjamini & Hochberg (1995) at 5 % among `tests` p-values, of which `small` are those ≤ 0.05."""
    ordered = np.sort(small)
    passing = np.flatnonzero(ordered <= ALPHA * np.arange(1, ordered.size + 1) / max(tests, 1))
    return int(passing[-1]) + 1 if passing.size else 0


def shuffled_images(
    labels: dict[str, pl.DataFrame], split: str, draws: int, seed: int
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


def _named(names: list[str], female: Bool[np.ndarray, " n"]) -> dict[str, bool]:
    return dict(zip(names, female.tolist(), strict=True))


def _wide(labels: dict[str, pl.DataFrame], split: str) -> pl.DataFrame:
    """image_id and a column `female_<language>` each, for the split's images, by image_id."""
    languages = sorted(labels)
    frames = [labels[language].filter(pl.col("split") == split) for language in languages]
    wide = frames[0].select("image_id")
    for language, frame in zip(languages, frames, strict=True):
        column = frame.select("image_id", pl.col("female").alias(f"female_{language}"))
        wide = wide.join(column, on="image_id", how="left")
    return wide.sort("image_id")


def _matrix(frame: pl.DataFrame, labels: dict[str, pl.DataFrame]) -> Float[np.ndarray, "n languages"]:
    columns = [f"female_{language}" for language in sorted(labels)]
    return frame.select(pl.col(columns).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
