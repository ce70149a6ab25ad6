"""Explanations by rule: the tokens and image attributes that are over-represented where a feature fires."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from core.data.attributes import attribute_columns, attributes_by_image
from core.features.index import FeatureIndex
from core.features.inputs import AnalysisInputs
from core.stats.enrichment import STRONG, Enrichment, balanced_accuracy, enrich
from core.stats.intervals import Interval

TOKENS = 5
"""Most tokens in an explanation."""
KEPT = 8
"""Values kept of each attribute's enrichment."""
DRAWS = 1000
ALL = ""
"""Stands for a language where rows of all languages are scored together."""
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
_SCORE: dict[str, Any] = dict.fromkeys(("score", "low", "high", "control"), pl.Float64)
EXPLANATIONS: dict[str, Any] = {"feature": pl.UInt32, "explanation": pl.String, "kind": pl.String, **_SCORE}
"""`score`: balanced accuracy on test images, with its interval over images (twins resampled together); `control`: the
mean of what the layer's other features' explanations reach for this feature."""
SCORES: dict[str, Any] = {"feature": pl.UInt32, "language": pl.String, **_SCORE}
"""The same explanations scored in one language: on its caption rows, or on image means over its rows."""


@dataclass(frozen=True)
class Rule:
    """Predicts activity: a caption row whose token is among `values`, or an image with one of them."""

    kind: str
    values: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class _Activity:
    """Rows [T] on which a feature fires, and by language images [N] for which it is strong."""

    fires: Bool[np.ndarray, " T"]
    strong: Mapping[str, Bool[np.ndarray, " N"]]


class Explainer:
    """Enrichment and explanations for layers that share their rows.

    Values are chosen on train and selection images; rules are scored on test images. An image's captions count as one
    caption: each row of a caption weighs 1 / captions of its image in its language.
    """

    def __init__(self, tokens: pl.DataFrame, inputs: AnalysisInputs) -> None:
        samples, self._seed = inputs.samples, inputs.seed
        test = set(samples.filter(pl.col("split") == "test")["image_id"].to_list())
        images = sorted(set(tokens["image_id"].to_list()))
        self._image_of_row = np.searchsorted(images, tokens["image_id"].to_numpy())
        self._test = np.array([image in test for image in images])
        self._units = inputs.units(images)
        self._usable = ~tokens["special"].to_numpy()
        self._caption = self._usable & (tokens["segment"] == "caption").to_numpy()
        self._weight = _caption_weights(tokens)
        self._scopes = {language: _rows_of(tokens, language) & self._usable for language in (ALL, *inputs.languages)}
        self._words, self._word_of_row = _code(tokens["token"].str.strip_chars(" ▁").str.to_lowercase())
        names = attribute_columns(samples)
        known = attributes_by_image(samples, names)
        order = pl.DataFrame({"image_id": images}, schema={"image_id": pl.String})
        by_image = order.join(known, on="image_id", how="left", maintain_order="left")
        self._attributes = {name: _code(by_image[name]) for name in names}

    def explain(self, index: FeatureIndex, features: Sequence[int]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Enrichment, explanations, and their scores by language, of some features of one layer."""
        activity = [self._activity(index, feature) for feature in features]
        enriched, rules = [], []
        for feature, active in zip(features, activity, strict=True):
            rows, rule = self._enrich(feature, active)
            enriched += rows
            rules.append(rule)
        explained, scored = [], []
        for place, (feature, rule) in enumerate(zip(features, rules, strict=True)):
            others = rules[:place] + rules[place + 1 :]
            by_scope = {scope: self._score(activity[place], rule, others, scope) for scope in self._scopes}
            explained.append((feature, rule.text or None, rule.kind, *by_scope.pop(ALL)))
            scored += [(feature, language, *score) for language, score in by_scope.items()]
        tables = ((enriched, ENRICHMENT), (explained, EXPLANATIONS), (scored, SCORES))
        first, second, third = (pl.DataFrame(rows, schema=schema, orient="row") for rows, schema in tables)
        return first, second.fill_nan(None), third.fill_nan(None)

    def _activity(self, index: FeatureIndex, feature: int) -> _Activity:
        rows, values = index.csc(feature)
        fires = np.zeros(self._usable.size, dtype=bool)
        fires[rows] = True
        fires &= self._usable
        strength = np.zeros(self._usable.size)
        strength[rows] = values
        strong = {scope: self._strong(np.where(kept, strength, 0), kept) for scope, kept in self._scopes.items()}
        return _Activity(fires, strong)

    def _strong(self, strength: Float[np.ndarray, " T"], kept: Bool[np.ndarray, " T"]) -> Bool[np.ndarray, " N"]:
        """Images whose mean over rows is in the strongest quarter, as train and selection images have it."""
        totals = np.bincount(self._image_of_row, weights=strength, minlength=self._test.size)
        means = totals / np.maximum(np.bincount(self._image_of_row, weights=kept, minlength=self._test.size), 1)
        seen = means[~self._test]
        return (means > (np.quantile(seen, STRONG) if seen.size else 0)) & (means > 0)

    def _enrich(self, feature: int, active: _Activity) -> tuple[list[tuple[Any, ...]], Rule]:
        """Values over-represented on images that are not test images, and the rule made of them."""
        seen = self._caption & ~self._test[self._image_of_row]
        words = enrich(self._word_of_row[seen], active.fires[seen], len(self._words), self._weight[seen])
        rows = _rows(feature, "token", self._words, words)
        best = words.best(TOKENS) if active.fires[seen].any() else []
        rule = Rule("token", tuple(best), "tokens " + ", ".join(f"‹{self._words[value]}›" for value in best))
        strongest = (0.0, Rule("none", (), ""))
        for name, (values, codes) in self._attributes.items():
            kept = ~self._test & (codes >= 0)
            found = enrich(codes[kept], active.strong[ALL][kept], len(values))
            rows += _rows(feature, name, values, found)
            for value in found.best(1):
                if found.z[value] > strongest[0]:
                    strongest = (float(found.z[value]), Rule(name, (value,), f"images with {name} = {values[value]}"))
        candidates = [rule, strongest[1]] if best else [strongest[1]]
        return rows, max(candidates, key=lambda candidate: self._seen_accuracy(candidate, active))

    def _score(
        self, active: _Activity, rule: Rule, others: Sequence[Rule], scope: str
    ) -> tuple[float, float, float, float]:
        own = self._accuracy(rule, active, self._test, scope, DRAWS)
        swapped = [self._accuracy(other, active, self._test, scope, 0).mean for other in others]
        finite = [value for value in swapped if np.isfinite(value)]
        return own.mean, own.low, own.high, float(np.mean(finite)) if finite else np.nan

    def _seen_accuracy(self, rule: Rule, active: _Activity) -> float:
        return float(np.nan_to_num(self._accuracy(rule, active, ~self._test, ALL, 0).mean))

    def _accuracy(
        self, rule: Rule, active: _Activity, images: Bool[np.ndarray, " N"], scope: str, draws: int
    ) -> Interval:
        """Balanced accuracy of the rule on some images, over rows of one language or of all; NaN without a rule."""
        if rule.kind == "none":
            return Interval(np.nan, np.nan, np.nan)
        if rule.kind == "token":
            rows = self._caption & self._scopes[scope] & images[self._image_of_row]
            predicted, units = np.isin(self._word_of_row[rows], rule.values), self._units[self._image_of_row[rows]]
            return balanced_accuracy(predicted, active.fires[rows], units, draws, self._seed, self._weight[rows])
        _, codes = self._attributes[rule.kind]
        read = np.bincount(self._image_of_row, weights=self._scopes[scope], minlength=self._test.size) > 0
        kept = images & (codes >= 0) & read
        predicted = np.isin(codes[kept], rule.values)
        return balanced_accuracy(predicted, active.strong[scope][kept], self._units[kept], draws, self._seed)


def _caption_weights(tokens: pl.DataFrame) -> Float[np.ndarray, " T"]:
    """1 / captions of the row's image in the row's language."""
    captions = pl.col("sample_id").n_unique().over("image_id", "language")
    return tokens.select(1 / captions.cast(pl.Float64)).to_series().to_numpy()


def _rows_of(tokens: pl.DataFrame, language: str) -> Bool[np.ndarray, " T"]:
    """Rows of a language and those that all languages share."""
    if language == ALL:
        return np.ones(tokens.height, dtype=bool)
    return tokens.select(pl.col("language").is_null() | (pl.col("language") == language)).to_series().to_numpy()


def _code(values: pl.Series) -> tuple[list[str], Int[np.ndarray, " n"]]:
    """The distinct values, sorted, and each entry's number among them (−1: null)."""
    names = sorted(values.drop_nulls().unique().to_list())
    numbers = dict(zip(names, range(len(names)), strict=True))
    coded = values.replace_strict(numbers, default=-1, return_dtype=pl.Int64)
    return names, coded.fill_null(-1).to_numpy()


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
