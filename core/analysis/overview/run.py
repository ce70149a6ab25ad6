"""How good are the SAEs, and where, in which features, does gender show?

Quality by layer (FVU, L0, dead features, loss recovered with the SAE spliced in), association of every feature with
the caption's gender, one family of tests a question, and probes that trace gender's emergence over layers, languages
and position sets.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from core.activations.outliers import is_outlier
from core.analysis.overview import Config
from core.analysis.overview.counts import agreement, attribute_odds, gender_counts
from core.analysis.overview.emergence import EMERGENCE, ProbeSetup, read_gender, reading_sets, summarise
from core.analysis.overview.findings import headlines, metrics, notes, outlier_notes
from core.analysis.overview.quality import quality, sum_groups
from core.analysis.result import Result
from core.causal.splice import Splicer
from core.data.gender_concept import GENDER
from core.features.associations import Labels, labelled_images
from core.features.families import Families
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.stats.families import ALPHA
from core.stats.intervals import bootstrap_auroc

SHOWN = {
    "emergence_summary": "Where gender emerges",
    "quality_summary": "SAE quality on held-out images",
    "top_features_summary": "Features that go most with gender",
    "splice": "Captions' loss with the SAE spliced in",
    "shuffled_summary": "Discoveries with shuffled labels",
    "gender_counts": "Genders of the captions",
}


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Measure every layer asked for; features and peak layers are chosen on `select`, effects are those of `test`."""
    found = _Findings.start(inputs, config)
    layers = inputs.chosen_layers(config.layers, "overview")
    for number, layer in enumerate(layers):
        found.add(layer)
        inputs.progress(number + 1, len(layers))
    tables = found.tables()
    shown = {name: heading for name, heading in SHOWN.items() if name in tables}
    said = (*notes(inputs, tables), *outlier_notes(found.outliers, len(layers)))
    return Result(headlines(tables), metrics(tables), tables, shown, said)


@dataclass
class _Findings:
    """What is gathered layer by layer."""

    inputs: AnalysisInputs
    config: Config
    setup: ProbeSetup
    families: Families
    splicer: Splicer | None
    outliers: dict[int, int] = field(default_factory=dict)
    quality: list[pl.DataFrame] = field(default_factory=list)
    emergence: list[dict[str, Any]] = field(default_factory=list)
    top: list[dict[str, Any]] = field(default_factory=list)
    spliced: list[pl.DataFrame] = field(default_factory=list)

    @classmethod
    def start(cls, inputs: AnalysisInputs, config: Config) -> "_Findings":
        labels = {language: Labels.of(inputs.concept, inputs.samples, language) for language in inputs.languages}
        setup = ProbeSetup(labels, _professions(inputs.samples), config.bootstrap, inputs.seed)
        families = Families(inputs.concept, labels, config.shuffles, inputs.seed)
        splicer = Splicer(inputs, config.spliced_images, config.bootstrap) if config.spliced_images else None
        return cls(inputs, config, setup, families, splicer)

    def add(self, layer: int) -> None:
        opened = self.inputs.open_layer(layer)
        self.outliers[layer] = int(is_outlier(opened.table.tokens).sum())
        sums = sum_groups(opened, next(iter(self.setup.labels.values())).table)
        self.quality.append(quality(sums, layer))
        self.families.add(layer, opened.feature_sums, reading_sets(self.inputs.concept))
        self.emergence += read_gender(opened, self.setup)
        self.top += self._top_features(opened)
        if self.splicer is not None:
            means = sums.segment_means(opened.sae.b_dec.detach().float().cpu().numpy())
            self.spliced.append(self.splicer.measure(layer, opened.sae, means, opened.table.norm_limit))

    def _top_features(self, opened: LayerView) -> list[dict[str, Any]]:
        """Test-split AUROC, with intervals, of the features ranked first on the selection split."""
        rows = []
        chosen = opened.ranking.strongest()[: self.config.top_features]
        for language in self.inputs.languages:
            for position_set in reading_sets(self.inputs.concept):
                units = opened.feature_sums.by_image(language, position_set)
                known = labelled_images(units.images, self.setup.labels[language], "test")
                for rank, feature in enumerate(chosen if known is not None else []):
                    assert known is not None  # the loop is empty otherwise
                    area = bootstrap_auroc(
                        units.means[known.rows, feature],
                        known.positive.astype(np.int64),
                        self.config.bootstrap,
                        self.inputs.seed,
                    )
                    row = {"layer": opened.layer, "rank": rank + 1, "feature": feature, "language": language}
                    ends = {"auroc": area.mean, "low": area.low, "high": area.high}
                    rows.append({**row, "position_set": position_set, **ends})
        return rows

    def tables(self) -> dict[str, pl.DataFrame]:
        associations = self.families.finish()
        top = pl.DataFrame(self.top, schema=_TOP)
        keys = ["layer", "language", "position_set", "feature"]
        top = top.join(associations.select(*keys, "q", "log_odds", "support"), on=keys, how="left")
        emergence = pl.DataFrame(self.emergence, schema=EMERGENCE).fill_nan(None)
        measured, shuffled = pl.concat(self.quality), self.families.false_discoveries()
        tables = {
            "emergence_summary": summarise(emergence),
            "quality_summary": _quality_summary(measured),
            "top_features_summary": _top_summary(top),
            "splice": pl.concat([frame for frame in self.spliced if frame.height] or [pl.DataFrame()]).fill_nan(None),
            "shuffled_summary": _shuffled_summary(shuffled),
            "false_discoveries": shuffled,
            "gender_counts": gender_counts(self.inputs),
            "agreement": agreement(self.inputs),
            "attribute_odds": attribute_odds(self.inputs),
            "quality": measured,
            "emergence": emergence,
            "associations": associations,
            "top_features": top,
        }
        return {name: table for name, table in tables.items() if table.width}


_TOP = pl.Schema(
    {
        "layer": pl.UInt16,
        "rank": pl.UInt16,
        "feature": pl.UInt32,
        "language": pl.String,
        "position_set": pl.String,
        **dict.fromkeys(("auroc", "low", "high"), pl.Float64),
    }
)


def _professions(samples: pl.DataFrame) -> dict[str, str]:
    if "profession" not in samples.columns:
        return {}
    first = samples.group_by("image_id").agg(pl.col("profession").cast(pl.String).fill_null("").first())
    return dict(first.iter_rows())


def _quality_summary(measured: pl.DataFrame) -> pl.DataFrame:
    whole = measured.filter(pl.col("segment") == "all")
    held = whole.filter(pl.col("split") == "held-out").select(
        "layer", "rows", "fvu", "explained_variance", "cosine", "l0"
    )
    train = whole.filter(pl.col("split") == "train").select("layer", pl.col("fvu").alias("fvu_train"), "dead", "dense")
    return (
        train.join(held, on="layer", how="left")
        .sort("layer")
        .select("layer", "fvu", "fvu_train", "explained_variance", "cosine", "l0", "dead", "dense")
    )


def _shuffled_summary(shuffled: pl.DataFrame) -> pl.DataFrame:
    """By question: tests, runs, runs that discover anything, and the most that any of them does."""
    found = pl.col("discoveries")
    return shuffled.group_by("question", maintain_order=True).agg(
        pl.col("tests").first(),
        pl.len().alias("runs"),
        (found > 0).sum().alias("runs_with_discoveries"),
        found.max().alias("most_discoveries"),
    )


def _top_summary(top: pl.DataFrame, rows: int = 20) -> pl.DataFrame:
    """The ten strongest discoveries a language at positions before gender is spoken (all, where there are none)."""
    significant = top.filter(pl.col("q") <= ALPHA)
    decided = significant.filter(pl.col("position_set").is_in(list(GENDER.decision_sets)))
    chosen = (decided if decided.height else significant).sort((pl.col("auroc") - 0.5).abs(), descending=True)
    return chosen.group_by("language", maintain_order=True).head(rows // 2)
