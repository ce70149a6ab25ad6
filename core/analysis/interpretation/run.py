"""What do the features chosen for the concept fire on, and what do they promote?

Features are chosen on the selection split and tested on test images, beside every other attribute of the samples.
Contexts by quantile, promoted tokens (direct path), over-represented tokens and image attributes, and an explanation
made of these, scored on test images against the explanations of other features.
"""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from core.analysis.interpretation import Config
from core.analysis.interpretation.explaining import ENRICHMENT, EXPLANATIONS, SCORES, Explainer
from core.analysis.interpretation.findings import estimates, score_summary
from core.analysis.interpretation.places import strengths
from core.analysis.interpretation.tested import ConceptTests
from core.analysis.interpretation.words import NONE_SIGNIFICANT, described_in_words
from core.analysis.result import Result
from core.data.concept import IMAGE, Concept
from core.features.examples import EXAMPLES, RowsAmong, examples
from core.features.influence import PROMOTED, promoted_tokens
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.token_rows import TokenRows

WINDOW = 32
"""Tokens shown of a context."""
LISTED = 20
"""Features in the report's table."""


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Describe the features of each layer that rank first for the concept on the selection split."""
    layers = inputs.chosen_layers(config.layers, "interpretation")
    notebook = _Notebook(inputs, config, ConceptTests(inputs))
    for number, layer in enumerate(layers):
        notebook.add(inputs.open_layer(layer))
        inputs.progress(number + 1, len(layers))
    tables = notebook.tables()
    shown = {"described": heading(tables["associations"], inputs.concept), "passing": "Features that pass their test"}
    found = inputs.beside_planted(estimates(tables, inputs), "apart")
    return Result(_metrics(tables), tables, shown, _notes(inputs, tables), found)


def heading(associations: pl.DataFrame, concept: Concept) -> str:
    """The heading of the features shown; the concept is named only where a feature is its own."""
    if associations["own"].any():
        return f"Features chosen for {concept.name}, in words"
    return f"{NONE_SIGNIFICANT[0].upper()}{NONE_SIGNIFICANT[1:]}"


@dataclass
class _Notebook:
    """What is gathered layer by layer."""

    inputs: AnalysisInputs
    config: Config
    tests: ConceptTests
    explainer: Explainer | None = None
    seen: pl.DataFrame | None = None
    frames: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

    def add(self, opened: LayerView) -> None:
        features = opened.ranking.strongest()[: self.config.features]
        if not features:
            return
        if self.explainer is None or self.seen is None or not self.seen.equals(opened.table.tokens):
            self.explainer, self.seen = Explainer(opened.table.tokens, self.inputs), opened.table.tokens
        for name, frame in zip(_EXPLAINED, self.explainer.explain(opened.index, features), strict=True):
            self._keep(opened.layer, name, frame)
        strength = strengths(self.tests.add(opened, features), self.inputs.languages)
        self._keep(opened.layer, "contexts", self._contexts(opened, features))
        promoted = promoted_tokens(opened.sae, self.inputs.open_model(), features, self.config.promoted)
        self._keep(opened.layer, "promoted", promoted)
        columns = {"feature": features, "rank": range(1, len(features) + 1)}
        place = pl.DataFrame(columns | {"strength": [strength.get(feature, 0.0) for feature in features]})
        typed = place.cast({"feature": pl.UInt32, "rank": pl.UInt32, "strength": pl.Float64})
        known = typed.join(opened.index.features.select(_STATISTICS), on="feature", how="left", maintain_order="left")
        self._keep(opened.layer, "features", known)

    def _contexts(self, opened: LayerView, features: list[int]) -> pl.DataFrame:
        """Contexts from test images: neither the choice of a feature nor its explanation has seen them."""
        quantiles, contexts, samples = self.config.quantiles, self.config.contexts, self.inputs.samples
        test = samples.filter(pl.col("split") == "test")["image_id"].unique()
        among = opened.table.tokens["image_id"].is_in(test.implode()).to_numpy().astype(bool)
        index = RowsAmong(opened.index, among)
        tokens = TokenRows(opened.table.tokens)
        parts = [examples(index, tokens, f, quantiles, contexts, WINDOW) for f in features]
        found = pl.concat(parts)
        if "image" not in samples.columns:
            return found.with_columns(pl.lit(None, dtype=pl.String).alias("image"))
        return found.join(samples.select("sample_id", "image"), on="sample_id", how="left", maintain_order="left")

    def _keep(self, layer: int, name: str, frame: pl.DataFrame) -> None:
        placed = frame.select(pl.lit(layer, dtype=pl.UInt16).alias("layer"), pl.all())
        self.frames.setdefault(name, []).append(placed)

    def tables(self) -> dict[str, pl.DataFrame]:
        found = {
            name: pl.concat(self.frames[name]) if name in self.frames else pl.Schema({**_LAYER, **schema}).to_frame()
            for name, schema in _SCHEMAS.items()
        }
        associations, passing, correlates = self.tests.finish()
        found |= {"associations": associations, "passing": passing, "correlates": correlates}
        words = described_in_words(associations, found["explanations"], self.inputs.concept)
        described = describe(found, words)
        found["score_summary"] = score_summary(found["scores"], described, self.inputs)
        return {"described": described, **found}


_LAYER: dict[str, Any] = {"layer": pl.UInt16}
_STATISTICS_TYPES: dict[str, Any] = {"density": pl.Float64, "idf": pl.Float64, "max": pl.Float32}
_STATISTICS = ["feature", *_STATISTICS_TYPES]
_EXPLAINED = ("enrichment", "explanations", "scores")
_SCHEMAS: dict[str, dict[str, Any]] = {
    "features": {"feature": pl.UInt32, "rank": pl.UInt32, "strength": pl.Float64, **_STATISTICS_TYPES},
    "explanations": EXPLANATIONS,
    "scores": SCORES,
    "contexts": {**EXAMPLES, "image": pl.String},
    "promoted": PROMOTED,
    "enrichment": ENRICHMENT,
}
_DESCRIBED = (
    *("layer", "feature", "in_words", "shared_with", "language", "position_set", "auroc", "auroc_low", "auroc_high"),
    *("q", "explanation", "score", "low", "high", "control", "density", "promoted", "suppressed"),
)


def describe(tables: dict[str, pl.DataFrame], words: pl.DataFrame) -> pl.DataFrame:
    """One row per feature in words, those first that rank first on the selection split, with what they promote and
    suppress; AUROC and q on test images, of the place where the feature is strongest on the selection split."""
    keys = ["layer", "feature"]
    promoted = tables["promoted"].filter(pl.col("rank") <= 5).sort(*keys, "direction", "rank")
    tokens = pl.col("token").str.strip_chars().str.join(" · ")
    chosen = (
        tables["associations"]
        .filter(pl.col("position_set") != IMAGE)
        .sort((pl.col("selected") - 0.5).abs(), "language", descending=[True, False], maintain_order=True)
        .unique(keys, keep="first", maintain_order=True)
        .select(
            *keys,
            *("language", "position_set", "auroc", "q"),
            pl.col("low").alias("auroc_low"),
            pl.col("high").alias("auroc_high"),
        )
    )
    table = tables["features"]
    sides = [
        promoted.filter(pl.col("direction") == side).group_by(keys).agg(tokens.alias(side))
        for side in ("promoted", "suppressed")
    ]
    for part in (words, tables["explanations"], chosen, *sides):
        table = table.join(part, on=keys, how="left", maintain_order="left")
    ordered = table.sort("strength", *keys, descending=[True, False, False], nulls_last=True)
    return ordered.select(_DESCRIBED).head(LISTED)


def _metrics(tables: dict[str, pl.DataFrame]) -> dict[str, float]:
    explained = tables["explanations"]
    found = {
        "features_described": tables["features"].height,
        "explanation_score_mean": explained["score"].mean(),
        "explanation_control_mean": explained["control"].mean(),
    }
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _notes(inputs: AnalysisInputs, tables: dict[str, pl.DataFrame]) -> tuple[str, ...]:
    lines = [
        "Promoted and suppressed tokens follow the direct path from the feature to the logits; what later layers make "
        "of the feature is not in them.",
        "Explanations are made by rule from enrichment on train and selection images; explanations written by a "
        "language model are not part of this analysis.",
        "Correlates are the other columns of the samples; what no column names can still explain a feature.",
    ]
    if inputs.images is None:
        lines.append("Text only: no image attributes and no image contexts.")
    if not tables["features"].height:
        lines.append("No feature passed the support filter on the selection split, so none is described.")
    elif not tables["associations"].height:
        lines.append("A side has fewer than five test images, so no feature is tested.")
    elif not tables["correlates"].height:
        lines.append("The samples have no other attribute, so no feature is compared with correlates.")
    return tuple(lines)
