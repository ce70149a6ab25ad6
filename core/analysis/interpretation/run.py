"""What do the gender-associated features fire on, and what do they promote?

Contexts by quantile, promoted tokens (direct path), over-represented tokens and image attributes, and an explanation
made of these, scored on test images against the explanation of another feature.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from core.analysis.interpretation import Config
from core.analysis.interpretation.explaining import ENRICHMENT, EXPLANATIONS, Explainer
from core.analysis.result import Result
from core.features.associations import Labels, associate
from core.features.examples import EXAMPLES, examples
from core.features.influence import PROMOTED, promoted_tokens
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.stats.intervals import bootstrap_mean

WINDOW = 32
"""Tokens shown of a context."""
LISTED = 20
"""Features in the report's table."""
SHOWN = {"described": "What gender-associated features fire on and promote"}


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Describe the features of each layer that go most with gender on the selection split."""
    layers = inputs.chosen_layers(config.layers, "interpretation")
    labels = {language: Labels.of(inputs.concept, inputs.samples, language) for language in inputs.languages}
    notebook = _Notebook(inputs, config, labels)
    for number, layer in enumerate(layers):
        notebook.add(inputs.open_layer(layer))
        inputs.progress(number + 1, len(layers))
    tables = notebook.tables()
    return Result(_headlines(tables), _metrics(tables), tables, SHOWN, _notes(inputs, tables))


@dataclass
class _Notebook:
    """What is gathered layer by layer."""

    inputs: AnalysisInputs
    config: Config
    labels: Mapping[str, Labels]
    explainer: Explainer | None = None
    seen: pl.DataFrame | None = None
    frames: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

    def add(self, opened: LayerView) -> None:
        features = opened.ranking.strongest()[: self.config.features]
        if not features:
            return
        if self.explainer is None or self.seen is None or not self.seen.equals(opened.table.tokens):
            self.explainer, self.seen = Explainer(opened.table.tokens, self.inputs), opened.table.tokens
        enriched, explained = self.explainer.explain(opened.index, features)
        tested = [
            associate(opened.feature_sums, labels, language, place, "test")
            .filter(pl.col("feature").is_in(features))
            .with_columns(pl.lit(language).alias("language"), pl.lit(place).alias("position_set"))
            for language, labels in self.labels.items()
            for place in (*self.inputs.concept.decision_sets, self.inputs.concept.positions.first)
        ]
        self._keep(opened.layer, "enrichment", enriched)
        self._keep(opened.layer, "explanations", explained)
        self._keep(opened.layer, "associations", pl.concat(tested))
        self._keep(opened.layer, "contexts", self._contexts(opened, features))
        promoted = promoted_tokens(opened.sae, self.inputs.open_model(), features, self.config.promoted)
        self._keep(opened.layer, "promoted", promoted)
        place = pl.DataFrame({"feature": features, "rank": range(1, len(features) + 1)})
        known = place.cast(pl.UInt32).join(opened.index.features.select(_STATISTICS), on="feature", how="left")
        self._keep(opened.layer, "features", known)

    def _contexts(self, opened: LayerView, features: list[int]) -> pl.DataFrame:
        quantiles, contexts = self.config.quantiles, self.config.contexts
        parts = [examples(opened.index, opened.table, f, quantiles, contexts, WINDOW) for f in features]
        found = pl.concat(parts)
        if "image" not in self.inputs.samples.columns:
            return found.with_columns(pl.lit(None, dtype=pl.String).alias("image"))
        return found.join(self.inputs.samples.select("sample_id", "image"), on="sample_id", how="left")

    def _keep(self, layer: int, name: str, frame: pl.DataFrame) -> None:
        placed = frame.select(pl.lit(layer, dtype=pl.UInt16).alias("layer"), pl.all())
        self.frames.setdefault(name, []).append(placed)

    def tables(self) -> dict[str, pl.DataFrame]:
        layer: dict[str, Any] = {"layer": pl.UInt16}
        empty = {
            "features": pl.Schema({**layer, "feature": pl.UInt32, "rank": pl.UInt32, **_STATISTICS_TYPES}),
            "explanations": pl.Schema({**layer, **EXPLANATIONS}),
            "contexts": pl.Schema({**layer, **EXAMPLES, "image": pl.String}),
            "promoted": pl.Schema({**layer, **PROMOTED}),
            "enrichment": pl.Schema({**layer, **ENRICHMENT}),
        }
        found = {
            name: pl.concat(self.frames[name]) if name in self.frames else schema.to_frame()
            for name, schema in empty.items()
        }
        if "associations" in self.frames:
            found["associations"] = pl.concat(self.frames["associations"])
        return {"described": _describe(found), **found}


_DESCRIBED = (
    *("layer", "feature", "explanation", "score", "low", "high", "control"),
    *("language", "position_set", "auroc", "density", "promoted", "suppressed"),
)
_STATISTICS_TYPES: dict[str, Any] = {"density": pl.Float64, "idf": pl.Float64, "max": pl.Float32}
_STATISTICS = ["feature", *_STATISTICS_TYPES]


def _describe(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """One row a feature in words: the best explained ones, with what they promote and suppress."""
    keys = ["layer", "feature"]
    promoted = tables["promoted"].filter(pl.col("rank") <= 5).sort(*keys, "direction", "rank")
    words = pl.col("token").str.strip_chars().str.join(" · ")
    sides = [
        promoted.filter(pl.col("direction") == side).group_by(keys).agg(words.alias(side))
        for side in ("promoted", "suppressed")
    ]
    table = tables["features"].join(tables["explanations"], on=keys, how="left")
    if "associations" in tables:
        strongest = (
            tables["associations"]
            .sort((pl.col("auroc") - 0.5).abs(), "language", "position_set", descending=[True, False, False])
            .unique(keys, keep="first", maintain_order=True)
            .select(*keys, "language", "position_set", "auroc")
        )
        table = table.join(strongest, on=keys, how="left")
    for side in sides:
        table = table.join(side, on=keys, how="left")
    columns = [name for name in _DESCRIBED if name in table.columns]
    return table.select(columns).sort("score", *keys, descending=[True, False, False], nulls_last=True).head(LISTED)


def _headlines(tables: dict[str, pl.DataFrame]) -> tuple[str, ...]:
    scored = tables["explanations"].filter(pl.col("score").is_not_null() & pl.col("control").is_not_null())
    if not scored.height:
        return ("No feature had an explanation that could be scored.",)
    own = bootstrap_mean(scored["score"].to_numpy(), 1000, 0)
    other = bootstrap_mean(scored["control"].to_numpy(), 1000, 0)
    return (
        f"Explanations made of over-represented tokens and attributes tell where {scored.height} gender-associated "
        f"features fire on test images with a balanced accuracy of {own} (interval over features); the explanation of "
        f"another feature of the layer gives {other}.",
    )


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
    ]
    if inputs.images is None:
        lines.append("Text only: no image attributes and no image contexts.")
    if not tables["features"].height:
        lines.append("No feature passed the support filter on the selection split, so none is described.")
    return tuple(lines)
