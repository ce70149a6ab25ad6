"""The concept's test of features that were chosen on the selection split: on test images, beside their correlates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from scipy import stats

from core.analysis.interpretation.places import Place, places
from core.data.concept import Concept
from core.data.twins import unit_of_image
from core.features.associations import LabelledImages, Labels, describe, labelled_images
from core.features.correlates import CORRELATES, coded_attributes, correlates, exceeds_all
from core.features.correlates import shared_with as name_shared
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.row_groups import ImageFeatures
from core.features.shuffles import shuffle_labels
from core.stats.families import ALPHA, corrected_within
from core.stats.intervals import bootstrap_auroc, wilson
from core.stats.permuted import rank_p
from core.stats.ranks import rank, rank_test

SHUFFLES = 200
"""Shufflings of the labels behind the control."""
RESAMPLES = 1000
PASSING = pl.Schema(
    {
        "question": pl.String,
        "language": pl.String,
        **dict.fromkeys(("tested", "passing", "shared"), pl.UInt32),
        **dict.fromkeys(("share", "low", "high", "control", "control_low", "control_high", "p", "q"), pl.Float64),
        "draws": pl.UInt32,
    }
)
"""`passing` of the `tested` features: their test is significant after correction, on the side that the selection split
says, and no other attribute explains as much of the feature; `shared` pass the test only. `share` with a Wilson
interval; `control` (median, 2.5th and 97.5th percentile): the same share with shuffled labels. `language` is `shared`
for rows that all languages share."""


@dataclass(frozen=True)
class _Tested:
    """One test: its row of the table; p, side and correlates for the labels as they are, then for each shuffling."""

    row: Mapping[str, Any]
    p: Float[np.ndarray, " draws1"]
    aligned: Bool[np.ndarray, " draws1"]
    exceeds: Bool[np.ndarray, " draws1"]


class ConceptTests:
    """Gathers the tests layer by layer; corrected together by question once all layers are there."""

    def __init__(self, inputs: AnalysisInputs, draws: int = SHUFFLES) -> None:
        self._inputs, self._draws = inputs, draws
        self._labels = Labels.by_language(inputs.concept, inputs.samples, inputs.languages)
        self._shuffled = shuffle_labels(self._labels, "test", draws, inputs.seed, unit_of_image(inputs.samples))
        self._tested: list[_Tested] = []
        self._correlates: list[pl.DataFrame] = []

    def add(self, opened: LayerView, features: Sequence[int]) -> list[Place]:
        """Test some features of a layer, each where it is strongest on the selection split."""
        found = places(opened.ranking, features)
        for language, position_set in sorted({(place.language, place.position_set) for place in found}):
            here = [place for place in found if (place.language, place.position_set) == (language, position_set)]
            means = opened.feature_sums.by_image(language, position_set)
            self._add(opened.layer, means, here)
        return found

    def _add(self, layer: int, features: ImageFeatures, here: Sequence[Place]) -> None:
        """Tests of one language and position set."""
        labels = self._labels[here[0].language]
        known = labelled_images(features.images, labels, "test")
        if known is None:
            return
        chosen = [place.feature for place in here]
        concept, samples = self._inputs.concept, self._inputs.samples
        compared = correlates(features, chosen, labels, samples, concept)
        shared = dict(name_shared(compared).iter_rows())
        where = {"layer": layer, "language": here[0].language, "position_set": here[0].position_set}
        self._correlates.append(compared.select(*(_literal(*item) for item in where.items()), pl.all()))
        described = describe(features, known, np.array(chosen), labels.sides).rows(named=True)
        sides = self._sides(features, known, here[0].language)
        groups = coded_attributes(samples, concept, features.images)
        for place, row in zip(here, described, strict=True):
            unshared = not compared.filter(pl.col("feature") == place.feature)["shared_select"].any()
            values = features.means[known.rows, place.feature].astype(np.float64)
            exceeds = exceeds_all(values, sides, {name: codes[known.rows] for name, codes in groups.items()}) & unshared
            named = {**where, **row, "shared_with": shared.get(place.feature), "selected": place.selected}
            self._tested.append(self._test(named, features, known, sides, exceeds))

    def _sides(self, features: ImageFeatures, known: LabelledImages, language: str) -> Bool[np.ndarray, "n draws1"]:
        names = [features.images[row] for row in known.rows]
        return np.column_stack([known.positive, self._shuffled.of(names, language)])

    def _test(
        self,
        row: Mapping[str, Any],
        features: ImageFeatures,
        known: LabelledImages,
        sides: Bool[np.ndarray, "n draws1"],
        exceeds: Bool[np.ndarray, " draws1"],
    ) -> _Tested:
        values = features.means[known.rows, row["feature"]]
        areas, p = rank_test(rank(values[:, None]), sides)
        units = self._inputs.units([features.images[one] for one in known.rows])
        positive = known.positive.astype(np.int64)
        area = bootstrap_auroc(values, positive, RESAMPLES, self._inputs.seed, units)
        measured = {"auroc": float(areas[0, 0]), "low": area.low, "high": area.high, "p": float(p[0, 0])}
        aligned = (areas[0] - 0.5) * (row["selected"] - 0.5) > 0
        return _Tested({**row, **measured, "images": positive.size}, p[0], aligned, exceeds)

    def finish(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Tests (with q and whether they pass), the summary by question and language, and the correlates."""
        frames, summary = [], []
        for question in dict.fromkeys(self._inputs.concept.questions.values()):
            family = [one for one in self._tested if self._question(one) == question]
            if family:
                frames.append(self._corrected(question, family))
                summary += list(self._counted(question, family))
        schema = association_schema(self._inputs.concept)
        associations = pl.concat(frames) if frames else schema.to_frame()
        passing = pl.DataFrame(summary, schema=PASSING)
        return associations, corrected_within(passing, pl.col("question")), _together(self._correlates)

    def _question(self, one: _Tested) -> str:
        return self._inputs.concept.questions[one.row["position_set"]]

    def _corrected(self, question: str, family: Sequence[_Tested]) -> pl.DataFrame:
        q, significant = _significant(family)
        rows = []
        for one, corrected, passes in zip(family, q[:, 0], significant[:, 0], strict=True):
            own = bool(passes and one.exceeds[0])
            rows.append({**one.row, "question": question, "q": corrected, "passes": bool(passes), "own": own})
        schema = association_schema(self._inputs.concept)
        return pl.DataFrame(rows, schema=schema, infer_schema_length=None).sort("layer", "feature", "language")

    def _counted(self, question: str, family: Sequence[_Tested]) -> Iterator[dict[str, Any]]:
        _, significant = _significant(family)
        own = significant & np.array([one.exceeds for one in family])
        languages = np.array([one.row["language"] for one in family])
        for language in sorted(set(languages.tolist())):
            here = languages == language
            counts, tested = own[here].sum(axis=0), int(here.sum())
            found = {"question": question, "language": language, "tested": tested}
            found |= {"passing": int(counts[0]), "shared": int(significant[here, 0].sum() - counts[0])}
            yield found | _share(counts / tested, tested)


def association_schema(concept: Concept) -> pl.Schema:
    """Columns of the tests: where, AUROC on the selection split (`selected`), on test images with its interval over
    images, p, q over the question's family, whether the test `passes` on the selected side, the attribute that the
    feature is shared with, whether it is the concept's `own`, and descriptions as in `associate`."""
    floats = ("selected", "auroc", "low", "high", "p", "q")
    described: tuple[str, ...] = (
        "log_odds",
        *(f"{what}_{side}" for what in ("mean", "active") for side in concept.sides),
    )
    columns: dict[str, Any] = {
        "layer": pl.UInt16,
        "feature": pl.UInt32,
        **dict.fromkeys(("question", "language", "position_set"), pl.String),
        **dict.fromkeys(floats, pl.Float64),
        "passes": pl.Boolean,
        "shared_with": pl.String,
        "own": pl.Boolean,
        **dict.fromkeys(described, pl.Float64),
        **dict.fromkeys(("support", "images"), pl.UInt32),
    }
    return pl.Schema(columns)


def _significant(family: Sequence[_Tested]) -> tuple[Float[np.ndarray, "m d"], Bool[np.ndarray, "m d"]]:
    """q within each labelling, and which tests are significant on the side that the selection split says."""
    q = stats.false_discovery_control(np.array([one.p for one in family]), axis=0)
    return q, (q <= ALPHA) & np.array([one.aligned for one in family])


def _share(shares: Float[np.ndarray, " draws1"], tested: int) -> dict[str, Any]:
    interval, draws = wilson(round(float(shares[0]) * tested), tested), shares[1:]
    low, high = np.quantile(draws, [0.025, 0.975]) if draws.size else (np.nan, np.nan)
    found = {"share": interval.mean, "low": interval.low, "high": interval.high}
    control = {"control": float(np.median(draws)) if draws.size else np.nan, "control_low": low, "control_high": high}
    return {**found, **control, "p": rank_p(float(shares[0]), draws), "draws": draws.size}


def _literal(name: str, value: Any) -> pl.Expr:
    kinds = {"layer": pl.UInt16, "language": pl.String, "position_set": pl.String}
    return pl.lit(value, dtype=kinds[name]).alias(name)


def _together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    place: dict[str, Any] = {"layer": pl.UInt16, "language": pl.String, "position_set": pl.String}
    schema = pl.Schema({**place, **CORRELATES})
    return pl.concat(frames).sort("layer", "feature", "language", "attribute") if frames else schema.to_frame()
