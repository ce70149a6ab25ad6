"""How good are the SAEs, and where, in which features, does the concept show?

Quality by layer (FVU, L0, dead features, loss recovered with the SAE spliced in), association of every feature with
the caption's label, one family of tests a question, and probes that trace the concept's emergence over layers,
languages and position sets.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from core.activations.outliers import is_outlier
from core.activations.stream_rows import SHARED
from core.analysis.overview import Config
from core.analysis.overview.counts import agreement, attribute_odds, counts_table, label_counts
from core.analysis.overview.emergence import EMERGENCE, LayerReading, Place, ProbeSetup, read_concept, reading_sets
from core.analysis.overview.findings import estimates
from core.analysis.overview.maxima import maximum_estimates, maximum_tables
from core.analysis.overview.notes import metrics, notes, outlier_notes
from core.analysis.overview.onset import curves_of, onsets, peaks
from core.analysis.overview.quality import quality, quality_summary, sum_groups
from core.analysis.overview.top_features import TOP, top_features, top_summary
from core.analysis.overview.unseen import unseen_estimates, unseen_table
from core.analysis.result import Result
from core.causal.splice import Splicer
from core.data.attributes import profession_of_image
from core.data.concept import LAST_PROMPT, Concept, capitalised
from core.features.associations import Labels
from core.features.families import Families
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.maximum_families import MaximumFamilies
from core.features.shuffles import shuffle_labels
from core.stats.estimate import Estimate


def headings(concept: Concept) -> dict[str, str]:
    """The tables that a report shows, with what stands above each."""
    name = concept.name
    return {
        "emergence_summary": f"From which layer on {name} is read",
        "peaks": f"Where {name} is read best",
        "discoveries": f"Tests of features for {name}, against shuffled labels",
        "top_features_summary": "Features that rank first on the selection split, measured on the test split",
        counts_table(concept): f"{capitalised(concept.plural)} of the captions",
        "splice": "Captions' loss with the SAE spliced in",
        "quality_summary": "SAE quality on the test split",
        "maximum_discoveries": "Tests of the maximum at equal caption length, beside the mean",
        "professions_out": f"{capitalised(name)} read off professions that the probe was trained without",
    }


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Measure every layer asked for; features and peak layers are chosen on `select`, effects are those of `test`."""
    found = _Findings.start(inputs, config)
    layers = inputs.chosen_layers(config.layers, "overview")
    for number, layer in enumerate(layers):
        found.add(layer)
        inputs.progress(number + 1, len(layers))
    tables = found.tables()
    shown = {name: heading for name, heading in headings(inputs.concept).items() if name in tables}
    said = (*notes(inputs, tables), *outlier_notes(found.outliers, len(layers)))
    known = f"onset.{LAST_PROMPT}"
    claimed = (*estimates(inputs, tables, config.permutations), *_asked(inputs, config, tables))
    found_out = inputs.beside_planted(claimed, "read", known)
    return Result(metrics=metrics(tables), tables=tables, shown=shown, notes=said, estimates=found_out)


def _asked(inputs: AnalysisInputs, config: Config, tables: Mapping[str, pl.DataFrame]) -> Iterator[Estimate]:
    """The findings that are off by default."""
    if "maximum_discoveries" in tables:
        yield from maximum_estimates(inputs, tables["maximum_discoveries"])
    if "professions_out" in tables:
        yield from unseen_estimates(inputs, tables["professions_out"], config.permutations)


@dataclass
class _Findings:
    """What is gathered layer by layer."""

    inputs: AnalysisInputs
    config: Config
    setup: ProbeSetup
    families: Families
    splicer: Splicer | None
    maxima: MaximumFamilies | None
    outliers: dict[int, int] = field(default_factory=dict)
    quality: list[pl.DataFrame] = field(default_factory=list)
    readings: dict[int, LayerReading] = field(default_factory=dict)
    top: list[dict[str, Any]] = field(default_factory=list)
    spliced: list[pl.DataFrame] = field(default_factory=list)

    @classmethod
    def start(cls, inputs: AnalysisInputs, config: Config) -> "_Findings":
        labels = Labels.by_language(inputs.concept, inputs.samples, inputs.languages)
        images = inputs.samples["image_id"].unique(maintain_order=True).to_list()
        units = dict(zip(images, inputs.units(images).tolist(), strict=True))
        shuffled = shuffle_labels(labels, "test", config.permutations, inputs.seed, units)
        professions = profession_of_image(inputs.samples)
        setup = ProbeSetup(labels, shuffled, professions, units, config.bootstrap, inputs.seed, config.professions)
        families = Families(inputs.concept, labels, config.shuffles, inputs.seed, units)
        splicer = Splicer(inputs, config.spliced_images, config.bootstrap) if config.spliced_images else None
        asked = MaximumFamilies if config.maximum else None
        maxima = asked(inputs.concept, labels, config.shuffles, inputs.seed, units) if asked else None
        return cls(inputs, config, setup, families, splicer, maxima)

    def add(self, layer: int) -> None:
        opened = self.inputs.open_layer(layer)
        self.outliers[layer] = int(is_outlier(opened.table.tokens).sum())
        sums = sum_groups(opened, self.setup.labels[SHARED].table)
        self.quality.append(quality(sums, layer))
        self.families.add(layer, opened.feature_sums, reading_sets(self.inputs.concept))
        if self.maxima is not None:
            self.maxima.add_layer(opened)
        self.readings[layer] = read_concept(opened, self.setup)
        self.top += self._top_features(opened)
        if self.splicer is not None:
            means = sums.segment_means(opened.sae.b_dec.detach().float().cpu().numpy())
            self.spliced.append(self.splicer.measure(layer, opened.sae, means, opened.table.norm_limit))

    def _top_features(self, opened: LayerView) -> list[dict[str, Any]]:
        """Test-split AUROC, with intervals, of the features ranked first on the selection split."""
        chosen = opened.ranking.strongest()[: self.config.top_features]
        rows = []
        for position_set in reading_sets(self.inputs.concept):
            for language in opened.groups.languages(position_set, self.inputs.languages):
                rows += top_features(opened, chosen, Place(language, position_set), self.setup)
        return rows

    def tables(self) -> dict[str, pl.DataFrame]:
        associations = self.families.finish()
        top = pl.DataFrame(self.top, schema=TOP).fill_nan(None)
        keys = ["layer", "language", "position_set", "feature"]
        top = top.join(associations.select(*keys, "q", "log_odds", "support"), on=keys, how="left")
        rows = [row for layer in sorted(self.readings) for row in self.readings[layer].rows]
        emergence = pl.DataFrame(rows, schema=EMERGENCE).fill_nan(None)
        curves = curves_of(self.readings)
        measured, shuffled = pl.concat(self.quality).fill_nan(None), self.families.false_discoveries()
        tables = {
            "emergence_summary": onsets(emergence, curves, self.inputs.concept),
            "peaks": peaks(emergence, curves, self.inputs.concept),
            "discoveries": self.families.summary(associations, shuffled),
            "quality_summary": quality_summary(measured),
            "top_features_summary": top_summary(top, self.inputs.concept),
            "splice": pl.concat([frame for frame in self.spliced if frame.height] or [pl.DataFrame()]).fill_nan(None),
            "false_discoveries": shuffled,
            counts_table(self.inputs.concept): label_counts(self.inputs),
            "agreement": agreement(self.inputs),
            "attribute_odds": attribute_odds(self.inputs),
            "quality": measured,
            "emergence": emergence,
            "associations": associations,
            "top_features": top,
        }
        if self.maxima is not None:
            tables |= maximum_tables(self.maxima, associations)
        if self.config.professions:
            tables["professions_out"] = unseen_table(rows, tables["peaks"], self.inputs.concept)
        return {name: table for name, table in tables.items() if table.width}
