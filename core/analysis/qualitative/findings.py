"""How often generated captions change gender, as estimates."""

from collections.abc import Iterator, Mapping

import polars as pl

from core.features.inputs import AnalysisInputs
from core.stats.estimate import Control, Estimate, Source

_CHOSEN = "features that rank first for {} on the selection split"


def estimates(
    tables: Mapping[str, pl.DataFrame], inputs: AnalysisInputs, layer: int, done: Mapping[tuple[str, str], str]
) -> tuple[Estimate, ...]:
    """The rate of changed captions beside that with random sets; without any set the rate alone, which claims nothing.

    Args:
        tables: `changes` and `differences`.
        inputs: concept and what is counted.
        layer: of the interventions.
        done: what was done to the features, by language and condition.
    """
    compared = tuple(_compared(tables["differences"], inputs, layer, done))
    return compared or tuple(_alone(tables["changes"], inputs, layer, done))


def _compared(
    differences: pl.DataFrame, inputs: AnalysisInputs, layer: int, done: Mapping[tuple[str, str], str]
) -> Iterator[Estimate]:
    for row in differences.iter_rows(named=True):
        language, condition = row["language"], row["condition"]
        yield Estimate(
            name=f"changed.{condition}.{language}",
            quantity=f"rate of generated captions that change {inputs.concept.name}, less that with random features",
            value=row["difference"],
            unit="points",
            n=row["images"],
            counted=f"test {inputs.counted}",
            source=Source("differences", {"language": language, "condition": condition}, "difference"),
            interval=(row["low"], row["high"]),
            control=Control.of("random sets, one against the others", row, draws="sets"),
            p=row["p"],
            q=row["q"] if differences.height > 1 else None,
            family=f"{differences.height} interventions and languages" if differences.height > 1 else "",
            draws=row["draws"],
            layer=layer,
            language=language,
            condition=done[language, condition],
            chosen=_CHOSEN.format(inputs.concept.name),
            answers=True,
            caveats=(f"p and interval hold the {row['sets']} random sets fixed",),
        )


def _alone(
    changes: pl.DataFrame, inputs: AnalysisInputs, layer: int, done: Mapping[tuple[str, str], str]
) -> Iterator[Estimate]:
    for row in changes.iter_rows(named=True):
        language, condition = row["language"], row["condition"]
        yield Estimate(
            name=f"rate.{condition}.{language}",
            quantity=f"rate of generated captions that change {inputs.concept.name}",
            value=row["rate"],
            unit="share",
            n=row["images"],
            counted=f"test {inputs.counted}",
            source=Source("changes", {"language": language, "condition": condition}, "rate"),
            interval=(row["low"], row["high"]),
            layer=layer,
            language=language,
            condition=done[language, condition],
            chosen=_CHOSEN.format(inputs.concept.name),
            answers=True,
            described=True,
            caveats=("no random set of features to compare with",),
        )
