"""The ranking of a concept scan: which features of which SAEs go with a concept, and how far that can be relied on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from core.concepts.beside import Beside, baseline_table, comparison_table, read_all
from core.concepts.chosen import Chosen, chosen_by_chance, top_features
from core.concepts.findings import Found, estimates
from core.concepts.full_sentences import FullSentences, check_sentences
from core.concepts.measures import AUROCS, MEASURES
from core.concepts.permuted import best_of, permutation_table
from core.concepts.scores import Scores, score_features
from core.errors import BadInput
from core.stats.estimate import Estimate, measured
from core.stats.families import ALPHA
from core.study.concept_scan import RankingSettings


@dataclass(frozen=True)
class ConceptRanking:
    """What `rank_concept` found.

    Args:
        tables: ranking (all tested features), top_features, baselines, comparisons, permutation.
        estimates: the findings.
        summary: counts and settings, as JSON takes them.
    """

    tables: Mapping[str, pl.DataFrame]
    estimates: tuple[Estimate, ...]
    summary: Mapping[str, Any]

    def save(self, folder: Path) -> None:
        """Write each table as Parquet, and `summary.json` with the estimates."""
        for name, table in self.tables.items():
            table.write_parquet(folder / f"{name}.parquet", compression="zstd", statistics=False)
        document = {**self.summary, "estimates": [one.as_json() for one in self.estimates]}
        (folder / "summary.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def metrics(self) -> dict[str, float]:
        """The estimates and counts as flat numbers."""
        counts = {name: float(self.summary[name]) for name in ("saes", "features", "tested", "silent", "rare")}
        return {**counts, **measured(self.estimates)}


def rank_concept(sentences: FullSentences, beside: Beside, settings: RankingSettings) -> ConceptRanking:
    """Rank all features on the selection split, and score the best on the held-out one, beside baselines.

    Raises:
        BadInput: the sentences cannot be ranked, or no feature fires often enough to be tested.
    """
    check_sentences(sentences)
    scores = score_features(sentences.selection, settings.min_support)
    if not scores.tested.size:
        raise BadInput(f"min_support: no feature fires on {settings.min_support} selection sentences; set it lower")
    best = {name: best_of(one, settings.permutations, settings.seed) for name, one in scores.measured.items()}
    chosen = Chosen.of(scores, settings.by, settings.top)
    readings = read_all(sentences, scores, chosen, beside, settings)
    tables = {
        "ranking": scores.table(),
        "top_features": top_features(sentences, scores, chosen, best[settings.by], settings),
        "baselines": baseline_table(sentences, readings, settings),
        "comparisons": comparison_table(sentences, readings, settings),
        "permutation": permutation_table(scores, best, settings.bootstrap, settings.seed),
    }
    chance = {one.name: chosen_by_chance(sentences.held_out, scores, best[settings.by], one) for one in AUROCS}
    found = Found(tables, readings[0].best[0].scores, chance, len(sentences.columns.keys))
    return ConceptRanking(
        tables, estimates(sentences, found, settings), _summary(sentences, scores, tables["ranking"], settings)
    )


def _summary(
    sentences: FullSentences, scores: Scores, ranking: pl.DataFrame, settings: RankingSettings
) -> dict[str, Any]:
    splits = {"selection": sentences.selection, "held_out": sentences.held_out}
    return {
        "saes": len(sentences.columns.keys),
        "features": sentences.active.shape[1],
        "silent": scores.silent,
        "rare": scores.rare,
        "tested": scores.tested.size,
        "tests_in_family": scores.tested.size * len(MEASURES),
        "discoveries": {name: int((ranking[f"q_{name}"] <= ALPHA).sum()) for name in MEASURES},
        "sentences": {name: part.labels.size for name, part in splits.items()},
        "families": {name: int(np.unique(part.families).size) for name, part in splits.items()},
        "settings": settings.model_dump(),
    }
