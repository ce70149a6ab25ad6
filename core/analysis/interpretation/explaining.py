"""Explanations by rule: the tokens and image attributes that are over-represented where a feature fires."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from core.data.attributes import attribute_columns
from core.features.index import FeatureIndex
from core.features.inputs import AnalysisInputs
from core.stats.enrichment import STRONG, Enrichment, balanced_accuracy, enrich
from core.stats.intervals import Interval

TOKENS = 5
"""Most tokens in an explanation."""
KEPT = 8
"""Values kept of each attribute's enrichment."""
DRAWS = 200
ENRICHMENT: dict[str, Any] = {
    "feature": pl.UInt32,
    "attribute": pl.String,
    "value": pl.String,
    "log_odds": pl.Float64,
    "z": pl.Float64,
    "active": pl.UInt32,
    "total": pl.UInt32,
}
"""`attribute` is a column of the samples (units: images, `active` counts those in the feature's strongest quarter) or
"token" (units: caption rows, `active` counts those it fires on)."""
EXPLANATIONS: dict[str, Any] = {
    "feature": pl.UInt32,
    "explanation": pl.String,
    "kind": pl.String,
    **dict.fromkeys(("score", "low", "high", "control"), pl.Float64),
}
"""`score`: balanced accuracy on test images, with its interval over images; `control`: that of the next feature's
explanation for this feature."""


@dataclass(frozen=True)
class _Rule:
    """Predicts activity: a caption row whose token is among `values`, or an image with one of them."""

    kind: str
    values: tuple[int, ...]
    text: str


class Explainer:
    """Enrichment and explanations for layers that share their rows.

    Values are chosen on train and selection images; rules are scored on test images.
    """

    def __init__(self, tokens: pl.DataFrame, inputs: AnalysisInputs) -> None:
        samples = inputs.samples
        test = set(samples.filter(pl.col("split") == "test")["image_id"].to_list())
        images = sorted(set(tokens["image_id"].to_list()))
        self._image_of_row = np.searchsorted(images, tokens["image_id"].to_numpy())
        self._image_test = np.array([image in test for image in images])
        self._usable = ~tokens["special"].to_numpy()
        self._rows_of_image = np.bincount(self._image_of_row, weights=self._usable, minlength=len(images))
        self._caption = self._usable & (tokens["segment"] == "caption").to_numpy()
        self._words, self._word_of_row = _code(tokens["token"].str.strip_chars(" ▁").str.to_lowercase())
        self._attributes = {name: _code(_by_image(samples, name, images)) for name in attribute_columns(inputs.samples)}

    def explain(self, index: FeatureIndex, features: list[int]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Enrichment and explanations of some features of one layer."""
        activity = [self._activity(index, feature) for feature in features]
        enriched, rules = [], []
        for feature, (fires, strong) in zip(features, activity, strict=True):
            rows, rule = self._enrich(feature, fires, strong)
            enriched += rows
            rules.append(rule)
        explained = [
            self._score(feature, activity[n], rules[n], rules[(n + 1) % len(rules)])
            for n, feature in enumerate(features)
        ]
        schemas = (pl.Schema(ENRICHMENT), pl.Schema(EXPLANATIONS))
        first = pl.DataFrame(enriched, schema=schemas[0], orient="row")
        return first, pl.DataFrame(explained, schema=schemas[1], orient="row").fill_nan(None)

    def _activity(self, index: FeatureIndex, feature: int) -> tuple[Bool[np.ndarray, " T"], Bool[np.ndarray, " N"]]:
        """Rows on which the feature fires, and images for which it is strong."""
        rows, values = index.csc(feature)
        fires = np.zeros(self._usable.size, dtype=bool)
        fires[rows] = True
        fires &= self._usable
        weights = np.where(fires[rows], values, 0)
        totals = np.bincount(self._image_of_row[rows], weights=weights, minlength=self._rows_of_image.size)
        means: Float[np.ndarray, " N"] = totals / np.maximum(self._rows_of_image, 1)
        return fires, (means > np.quantile(means, STRONG)) & (means > 0)

    def _enrich(
        self, feature: int, fires: Bool[np.ndarray, " T"], strong: Bool[np.ndarray, " N"]
    ) -> tuple[list[tuple[Any, ...]], _Rule]:
        seen = self._caption & ~self._image_test[self._image_of_row]
        words = enrich(self._word_of_row[seen], fires[seen], len(self._words))
        rows = _rows(feature, "token", self._words, words)
        best = words.best(TOKENS) if fires[seen].any() else []
        rule = _Rule("token", tuple(best), "tokens " + ", ".join(f"‹{self._words[value]}›" for value in best))
        strongest = (0.0, _Rule("none", (), ""))
        for name, (values, codes) in self._attributes.items():
            kept = ~self._image_test & (codes >= 0)
            found = enrich(codes[kept], strong[kept], len(values))
            rows += _rows(feature, name, values, found)
            for value in found.best(1):
                if found.z[value] > strongest[0]:
                    strongest = (float(found.z[value]), _Rule(name, (value,), f"images with {name} = {values[value]}"))
        candidates = [rule, strongest[1]] if best else [strongest[1]]
        return rows, max(candidates, key=lambda candidate: self._seen_accuracy(candidate, (fires, strong)))

    def _score(
        self, feature: int, activity: tuple[Bool[np.ndarray, " T"], Bool[np.ndarray, " N"]], rule: _Rule, other: _Rule
    ) -> tuple[Any, ...]:
        own = self._accuracy(rule, activity, self._image_test)
        control = self._accuracy(other, activity, self._image_test).mean if other is not rule else np.nan
        return (feature, rule.text or None, rule.kind, own.mean, own.low, own.high, control)

    def _seen_accuracy(self, rule: _Rule, activity: tuple[Bool[np.ndarray, " T"], Bool[np.ndarray, " N"]]) -> float:
        return float(np.nan_to_num(self._accuracy(rule, activity, ~self._image_test, draws=1).mean))

    def _accuracy(
        self,
        rule: _Rule,
        activity: tuple[Bool[np.ndarray, " T"], Bool[np.ndarray, " N"]],
        images: Bool[np.ndarray, " N"],
        draws: int = DRAWS,
    ) -> Interval:
        """Balanced accuracy of the rule on some images; NaN without a rule."""
        fires, strong = activity
        if rule.kind == "none":
            return Interval(np.nan, np.nan, np.nan)
        if rule.kind == "token":
            rows = self._caption & images[self._image_of_row]
            predicted = np.isin(self._word_of_row[rows], rule.values)
            return balanced_accuracy(predicted, fires[rows], self._image_of_row[rows], draws)
        _, codes = self._attributes[rule.kind]
        predicted = np.isin(codes[images], rule.values)
        return balanced_accuracy(predicted, strong[images], np.flatnonzero(images), draws)


def _code(values: pl.Series) -> tuple[list[str], Int[np.ndarray, " n"]]:
    """The distinct values, sorted, and each entry's number among them (−1: null)."""
    names = sorted(values.drop_nulls().unique().to_list())
    numbers = dict(zip(names, range(len(names)), strict=True))
    coded = values.replace_strict(numbers, default=-1, return_dtype=pl.Int64)
    return names, coded.fill_null(-1).to_numpy()


def _by_image(samples: pl.DataFrame, name: str, images: list[str]) -> pl.Series:
    first = samples.group_by("image_id").agg(pl.col(name).first().cast(pl.String))
    order = pl.DataFrame({"image_id": images})
    return order.join(first, on="image_id", how="left", maintain_order="left")[name]


def _rows(feature: int, attribute: str, values: list[str], found: Enrichment) -> list[tuple[Any, ...]]:
    order = np.argsort(-found.z, kind="stable")[:KEPT]
    return [
        (
            feature,
            attribute,
            values[v],
            float(found.log_odds[v]),
            float(found.z[v]),
            int(found.active[v]),
            int(found.total[v]),
        )
        for v in order
        if found.total[v]
    ]
