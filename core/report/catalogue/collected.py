"""Gather what the report of a catalogue says from its published tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from core.explain.metrics import ALL
from core.explain.named import FROZEN
from core.explain.published import read_table, scan_table
from core.explain.publishing import SUMMARY, read
from core.explain.tables import AGGREGATED, EXPLAINED
from core.stats.estimate import Estimate
from core.store.artifacts import read_json

MOST_CARDS = 12
_EXAMPLES = 3
_LAYER = pl.col("sae_id").str.extract(r"layer_(\d+)").cast(pl.Int64)
_EXAMPLE = (
    "feature_id",
    "sae_id",
    "language",
    "prompt_tokens",
    "activation_pairs",
    "max_activation",
    "image",
    "map_cells",
)
_KEYS = ("sae_id", "feature_id")


@dataclass(frozen=True)
class CatalogueReport:
    """Everything that the report of a catalogue says.

    Attributes:
        config: the catalogue, as nested dictionaries.
        summary: counts of features and explanations.
        estimates: the scores over features, and their differences to the frozen dictionary's.
        explanations: what explainers said of features of trained SAEs, without prompts and raw answers.
        scores: of each explanation of these.
        aggregates: over features, `core.explain.aggregates.AGGREGATES`.
        shown: sae_id and feature_id of the features that are shown, evenly over all, in their order.
        examples: the strongest prompts of these, `_EXAMPLES` of each language.
        images: the folder that `image` is relative to; null where no picture is shown.
    """

    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    estimates: tuple[Estimate, ...]
    explanations: pl.DataFrame
    scores: pl.DataFrame
    aggregates: pl.DataFrame
    shown: pl.DataFrame
    examples: pl.DataFrame
    images: Path | None

    @property
    def whole(self) -> pl.DataFrame:
        """The aggregates over every SAE, kind and language of examples."""
        return self.aggregates.filter(pl.all_horizontal(pl.col("sae_id", "example_kind", "language") == ALL))


def collect_catalogue(tables: Path, config: Mapping[str, Any], images: Path | None) -> CatalogueReport:
    """Read the published tables; of examples only those of features that are shown.

    Raises:
        BadInput: a table is missing, damaged, or of another schema version.
    """
    summary = read_json(tables / SUMMARY)
    said = _plain(read(tables / EXPLAINED).drop("prompt", "raw_answer"))
    explanations = said.filter(~pl.col("sae_id").str.ends_with(FROZEN))
    scores = _plain(read_table(tables / "scores.parquet"))
    shown = _evenly(explanations.select(_KEYS).unique().sort(_LAYER, *_KEYS))
    return CatalogueReport(
        config,
        summary,
        tuple(map(Estimate.from_json, summary["estimates"])),
        explanations,
        scores.join(shown, on=list(_KEYS), how="semi"),
        _plain(read(tables / AGGREGATED)),
        shown,
        _examples(tables / "activation_examples.parquet", shown),
        images,
    )


def _plain(table: pl.DataFrame) -> pl.DataFrame:
    """The table with names as text."""
    return table.with_columns(pl.col(pl.Categorical).cast(pl.String))


def _evenly(features: pl.DataFrame) -> pl.DataFrame:
    """At most `MOST_CARDS` rows, evenly over all: no score decides which are shown."""
    count = min(MOST_CARDS, features.height)
    return features[[place * features.height // count for place in range(count)]] if count else features


def _examples(file: Path, shown: pl.DataFrame) -> pl.DataFrame:
    """The strongest prompts of the features that are shown, the strongest first."""
    wanted = pl.col("feature_id").is_in(shown["feature_id"].unique().implode())
    rows: pl.DataFrame = scan_table(file).filter(wanted).select(_EXAMPLE).collect()
    known = _plain(rows).join(shown, on=list(_KEYS), how="semi")
    ordered = known.sort(*_KEYS, "max_activation", descending=[False, False, True], maintain_order=True)
    return ordered.group_by(*_KEYS, "language", maintain_order=True).head(_EXAMPLES).select(_EXAMPLE)
