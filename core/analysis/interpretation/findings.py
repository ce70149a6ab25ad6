"""What the interpretation found, as estimates: how well explanations tell, and how many features pass their test."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from core.analysis.interpretation.words import NONE_SIGNIFICANT
from core.data.concept import Concept
from core.features.inputs import AnalysisInputs
from core.stats.estimate import Control, Estimate, Source, number_of
from core.stats.families import corrected_within
from core.stats.intervals import bootstrap_mean
from core.stats.permuted import sign_flip_p

RESAMPLES = 1000
FLIPS = 2000
_CONTROL = ("control", "control_low", "control_high")
SCORE_SUMMARY = pl.Schema(
    {
        "language": pl.String,
        "features": pl.UInt32,
        **dict.fromkeys(("score", "low", "high", *_CONTROL, "p", "q"), pl.Float64),
        "draws": pl.UInt32,
    }
)
"""Mean `score` over the shown features that have both, with the interval over features; `control` alike, of other
features' explanations; p: signs of the paired differences flipped, two-sided; q over the languages."""


def score_summary(scores: pl.DataFrame, shown: pl.DataFrame, inputs: AnalysisInputs) -> pl.DataFrame:
    """How well the explanations of the features shown tell where these fire, by language.

    Args:
        scores: by layer, feature and language.
        shown: layer and feature of the features that the report shows; no other counts.
        inputs: languages and seed.
    """
    keys = ["layer", "feature"]
    scored = scores.join(shown.select(keys), on=keys, how="semi").drop_nulls(["score", "control"])
    rows = [_summary(scored.filter(pl.col("language") == one), one, inputs.seed) for one in inputs.languages]
    table = pl.DataFrame([row for row in rows if row["features"]], schema=SCORE_SUMMARY)
    return corrected_within(table, pl.lit(True))


def _summary(scored: pl.DataFrame, language: str, seed: int) -> dict[str, Any]:
    own, other = scored["score"].to_numpy(), scored["control"].to_numpy()
    score, control = (bootstrap_mean(values, RESAMPLES, seed) for values in (own, other))
    ends = {"score": score.mean, "low": score.low, "high": score.high}
    ends |= {"control": control.mean, "control_low": control.low, "control_high": control.high}
    p = sign_flip_p(own - other, FLIPS, seed)
    return {"language": language, "features": scored.height, **ends, "p": p, "draws": FLIPS}


def estimates(tables: Mapping[str, pl.DataFrame], inputs: AnalysisInputs) -> tuple[Estimate, ...]:
    """The estimates, those that answer the question first."""
    return (*_passing(tables["passing"], inputs), *_explained(tables["score_summary"], inputs))


def _passing(passing: pl.DataFrame, inputs: AnalysisInputs) -> Iterator[Estimate]:
    concept = inputs.concept
    for row in passing.iter_rows(named=True):
        language, rows = row["language"], passing.filter(pl.col("question") == row["question"])
        yield Estimate(
            name=f"passing.{row['question']}.{language}",
            quantity=f"share of features that pass {concept.name}'s test and exceed their correlates",
            value=row["share"],
            unit="share",
            n=row["tested"],
            counted=f"features chosen on the selection split, tested on test {inputs.counted}",
            source=Source("passing", {"question": row["question"], "language": language}, "share"),
            interval=(row["low"], row["high"]),
            control=Control.of("shufflings of the labels", row),
            p=row["p"],
            q=row["q"] if rows.height > 1 else None,
            family=number_of(rows.height, "language") if rows.height > 1 else "",
            draws=row["draws"],
            language=language,
            condition=_where(row["question"], concept),
            answers=row["question"] != "picture",
            caveats=tuple(_caveats(row)),
        )


def _where(question: str, concept: Concept) -> str:
    places = {"picture": "on image rows", "decision": f"before the first {concept.adjective} word"}
    return places.get(question, f"on the first {concept.adjective} word")


def _caveats(row: Mapping[str, Any]) -> Iterator[str]:
    if not row["passing"]:
        yield NONE_SIGNIFICANT
    if row["shared"]:
        yield f"{row['shared']} further features pass the test and are shared with another attribute"
    yield "the interval takes the features for independent; those of neighbouring layers are not"


def _explained(summary: pl.DataFrame, inputs: AnalysisInputs) -> Iterator[Estimate]:
    """Whether explanations tell where features fire: true of any features, and so no answer about the concept's."""
    for row in summary.iter_rows(named=True):
        yield Estimate(
            name=f"explanations.{row['language']}",
            quantity="balanced accuracy of explanations for where the shown features fire",
            value=row["score"],
            unit="",
            n=row["features"],
            counted=f"features shown, scored on test {inputs.counted}",
            source=Source("score_summary", {"language": row["language"]}, "score"),
            interval=(row["low"], row["high"]),
            control=Control("explanations of other features of the layer", *(row[name] for name in _CONTROL)),
            null=0.5,
            p=row["p"],
            q=row["q"] if summary.height > 1 else None,
            family=number_of(summary.height, "language") if summary.height > 1 else "",
            draws=row["draws"],
            language=row["language"],
            caveats=("the interval takes the features for independent; those of neighbouring layers are not",),
        )
