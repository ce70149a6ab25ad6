"""What the report of a catalogue says in numbers: its headline, sentences and tables."""

from collections.abc import Iterator

import polars as pl

from core.explain.metrics import ALL, CALLED
from core.report.catalogue.collected import CatalogueReport
from core.report.sentences import sentences
from core.study.catalogue import source_of

_OVER = ("explainer", "scorer", "metric", "chance", "n", "mean", "low", "high", "sd", "median", "n_judged", "n_failed")
_FLOOR = ("frozen_n", "frozen_mean", "frozen_low", "frozen_high", "difference", "difference_low", "difference_high")
_BY = ("sae_id", "explainer", "scorer", "example_kind", "language", "metric", "n", "mean", "low", "high", "n_failed")


def told(report: CatalogueReport) -> tuple[str, ...]:
    """The scores in sentences, and a difference to the frozen dictionary where its interval leaves 0 out."""
    return sentences(one for one in report.estimates if one.answers or one.beyond_null)


def facts(report: CatalogueReport) -> Iterator[tuple[str, str]]:
    """The headline: a value and what it counts."""
    saes = report.explanations["sae_id"].n_unique()
    without = report.explanations["text"].null_count()
    yield f"{report.explanations.select('sae_id', 'feature_id').n_unique():,}", "features"
    yield f"{saes:,}", "SAE" if saes == 1 else "SAEs"
    yield f"{report.explanations['text'].count():,}", "explanations"
    yield f"{without:,}", "without a text"
    yield str(report.explanations["explainer"].n_unique()), "explainers"
    yield str(len(report.config["scorers"])), "scorers"
    yield source_of(report.config), "study" if report.config["study"] else "table of examples"


def over_features(report: CatalogueReport) -> pl.DataFrame:
    """The aggregates over every SAE, kind and language; the frozen dictionary's beside them where there are some."""
    has_floor = report.aggregates["frozen_mean"].is_not_null().any()
    return _worded(report.whole.select(*_OVER, *(_FLOOR if has_floor else ())))


def asked(report: CatalogueReport) -> pl.DataFrame:
    """Every explainer and scorer: the model that answered, and its prompt's version; empty where there was none."""
    who = pl.concat_str(pl.col("explainer"), pl.lit(", "), pl.col("language"))
    explains = report.explanations.select(
        pl.lit("explains").alias("role"), who.alias("name"), pl.col("llm_explainer").alias("model"), "prompt_version"
    )
    judges = report.scores.select(
        pl.lit("judges").alias("role"), pl.col("scorer").alias("name"), pl.col("judge").alias("model"), "prompt_version"
    )
    rows = pl.concat([explains, judges]).unique(maintain_order=True)
    empty = pl.col("model", "prompt_version").replace("", None)
    return rows.with_columns(empty)


def failed(report: CatalogueReport) -> pl.DataFrame:
    """Why explainers said nothing, and how often."""
    nothing = report.explanations.filter(pl.col("text").is_null())
    return (
        nothing.group_by("explainer", "language", "failure", maintain_order=True)
        .agg(pl.len().alias("explanations"))
        .sort("explainer", "language", "explanations", descending=[False, False, True])
    )


def unread(report: CatalogueReport) -> pl.DataFrame:
    """How many answers of each scorer could not be read, by explainer: they count nowhere else."""
    rows = report.whole.filter(pl.col("n_failed") > 0)
    return rows.select("scorer", "explainer", "n_failed", "n_judged")


def by_part(report: CatalogueReport) -> pl.DataFrame:
    """The aggregates by SAE, kind and language of examples."""
    parts = report.aggregates.filter(~pl.all_horizontal(pl.col("sae_id", "example_kind", "language") == ALL))
    return _worded(parts.select(_BY))


def _worded(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.col("metric").replace(dict(CALLED)))
