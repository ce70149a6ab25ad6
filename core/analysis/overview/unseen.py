"""Leave-professions-out with its interval: how well the concept is read off professions that the probe has not seen.

The statement is about professions, so that professions are drawn first, then images within each.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from core.analysis.overview.findings import READING, places
from core.data.concept import Concept
from core.features.inputs import AnalysisInputs
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.families import corrected_within

UNSEEN = pl.Schema(
    {
        "layer": pl.UInt16(),
        "language": pl.String(),
        "position_set": pl.String(),
        "decision": pl.Boolean(),
        "picked": pl.Boolean(),
        "chosen": pl.Boolean(),
        "professions": pl.UInt32(),
        "test_images": pl.UInt32(),
        **dict.fromkeys(("auroc", "low", "high", "shuffled", "shuffled_low", "shuffled_high", "p", "q"), pl.Float64()),
    }
)


def unseen_table(rows: Sequence[Mapping[str, Any]], peaks: pl.DataFrame, concept: Concept) -> pl.DataFrame:
    """All layers; `picked` is that of the highest AUROC on the selection split (`chosen`; the last one where that
    split is too small), and has q over the curves of its question.

    Args:
        rows: of the emergence table; those of the logistic probe have `unseen` where it was measured.
        peaks: the overview's peaks.
        concept: whose position sets are asked about.
    """
    keys = ["layer", "language", "position_set"]
    at_peak = peaks.select(*keys, "chosen", pl.lit(True).alias("picked"))
    measured = [{**row, **row["unseen"]} for row in rows if "unseen" in row]
    table = pl.DataFrame(
        measured, schema={name: UNSEEN[name] for name in UNSEEN if name not in ("picked", "chosen", "q")}
    )
    table = table.join(at_peak, on=keys, how="left", maintain_order="left").with_columns(
        pl.col("picked", "chosen").fill_null(False), pl.col(pl.Float64).fill_nan(None)
    )
    question = pl.col("position_set").replace_strict(dict(concept.questions), return_dtype=pl.String)
    tested = corrected_within(table.with_columns(p=pl.when("picked").then("p")), question)
    return table.with_columns(tested["q"]).select(UNSEEN.names()).sort("language", "position_set", "layer")


def unseen_estimates(inputs: AnalysisInputs, table: pl.DataFrame, draws: int) -> Iterator[Estimate]:
    """One estimate a curve before the concept is spoken, or in the picture, at the picked layer.

    `draws` are the shuffles.
    """
    concept, questions = inputs.concept, inputs.concept.questions
    for row in table.filter("picked").iter_rows(named=True):
        question = questions[row["position_set"]]
        if question not in READING:
            continue
        curves = table.filter(
            "picked", pl.col("position_set").is_in([s for s, q in questions.items() if q == question])
        )
        best = "the layer of the highest AUROC on the selection split"
        shuffled = (row["shuffled"], row["shuffled_low"], row["shuffled_high"])
        yield Estimate(
            name=f"unseen.{row['position_set']}.{row['language']}",
            quantity=f"AUROC of linear probes for {concept.name} {places(concept)[row['position_set']]}, on "
            "professions that they were trained without",
            value=row["auroc"],
            unit="AUROC",
            n=row["test_images"],
            counted=f"test {inputs.counted}",
            source=Source(
                "professions_out", {name: row[name] for name in ("layer", "language", "position_set")}, "auroc"
            ),
            interval=(row["low"], row["high"]),
            control=Control(f"shuffles of the labels by {inputs.counted[:-1]}", *shuffled, draws),
            null=0.5,
            p=row["p"],
            q=row["q"],
            family=number_of(curves.height, "curve"),
            draws=draws,
            layer=row["layer"],
            language=row["language"],
            chosen=best if row["chosen"] else "",
            caveats=(
                f"the interval draws {number_of(row['professions'], 'profession')} first, then images within each",
            ),
        )
