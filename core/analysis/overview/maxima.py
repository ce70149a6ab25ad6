"""The maximum over an image's rows at equal caption length, beside the mean, which is primary."""

from collections.abc import Iterator

import polars as pl

from core.analysis.overview.findings import COUNTED_IN
from core.features.families import SUMMARY
from core.features.inputs import AnalysisInputs
from core.features.maximum_families import MaximumFamilies
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.families import ALPHA

_PLACE = ["layer", "language", "position_set", "feature"]


def maximum_tables(families: MaximumFamilies, associations: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """`maxima`, every test; `maximum_discoveries`, the summary of `Families`, with the share of the same tests that
    pass for the maximum as it is (raw_share) and for the mean (mean_share), and how well the caption's length alone
    tells the concept (length_auroc).

    Args:
        families: with all layers added.
        associations: the tests of the mean.
    """
    maxima = families.finish()
    summary = families.summary(maxima, families.false_discoveries())
    means = associations.select(*_PLACE, pl.col("q").alias("q_mean"))
    passed = [(pl.col(q) <= ALPHA).mean().alias(name) for q, name in (("q_raw", "raw_share"), ("q_mean", "mean_share"))]
    beside = (
        maxima.join(means, on=_PLACE, how="left", maintain_order="left")
        .group_by("question", "language", maintain_order=True)
        .agg(*passed, pl.col("length_auroc").first())
    )
    joined = summary.join(beside, on=["question", "language"], how="left", maintain_order="left")
    names = [*SUMMARY.names(), "raw_share", "mean_share", "length_auroc"]
    return {"maxima": maxima, "maximum_discoveries": joined.select(names)}


def maximum_estimates(inputs: AnalysisInputs, table: pl.DataFrame) -> Iterator[Estimate]:
    """One estimate per language, before the concept is spoken."""
    name = inputs.concept.name
    decided = table.filter(question="decision")
    for row in decided.iter_rows(named=True):
        beside = (
            f"{row['raw_share']:.1%} for the maximum as it is, {row['mean_share']:.1%} for the mean, the primary one"
        )
        yield Estimate(
            name=f"maximum.{row['language']}",
            quantity=f"share of the tests of features {COUNTED_IN['decision'].format(concept=name)} whose maximum has "
            "q ≤ 0.05 at equal caption length",
            value=row["share"],
            unit="share",
            n=row["tests"],
            counted=f"tests over test {inputs.counted}",
            source=Source("maximum_discoveries", {"question": "decision", "language": row["language"]}, "share"),
            interval=(row["least_share"], row["share"]),
            control=Control.of("runs with exchanged labels at equal caption length", row, "shuffled", "runs"),
            sides=1,
            p=row["p"],
            q=row["q"],
            family=number_of(decided.height, "language"),
            draws=row["runs"],
            language=row["language"],
            caveats=(beside, f"the caption's length alone has AUROC {row['length_auroc']:.2f}"),
        )
