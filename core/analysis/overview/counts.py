"""The data themselves: labels by language, their agreement, and what else is associated with the concept."""

from typing import Any

import polars as pl

from core.data.attributes import attribute_columns
from core.data.concept import Concept
from core.data.own_columns import other_attributes
from core.features.inputs import AnalysisInputs


def counts_table(concept: Concept) -> str:
    """What the table of `label_counts` is called."""
    return f"{concept.name}_counts"


def label_counts(inputs: AnalysisInputs) -> pl.DataFrame:
    """language, the concept's label under its name, samples and their share among the language's samples."""
    concept = inputs.concept
    parts = [
        inputs.samples.group_by(pl.col(concept.label_column(language)).alias(concept.name))
        .agg(pl.len().alias("samples"))
        .with_columns(pl.lit(language).alias("language"), (pl.col("samples") / inputs.samples.height).alias("share"))
        for language in inputs.languages
    ]
    return pl.concat(parts).select("language", concept.name, "samples", "share").sort("language", concept.name)


def agreement(inputs: AnalysisInputs) -> pl.DataFrame:
    """How many samples have each pair of English and Arabic labels; empty with one language."""
    labels = [inputs.concept.label_column(language) for language in ("en", "ar")]
    if set(inputs.languages) != {"en", "ar"}:
        return pl.DataFrame(schema={**dict.fromkeys(labels, pl.String), "samples": pl.UInt32})
    return inputs.samples.group_by(labels).agg(pl.len().cast(pl.UInt32).alias("samples")).sort(labels)


def attribute_odds(inputs: AnalysisInputs) -> pl.DataFrame:
    """Log odds ratio of a caption of the first side inside against outside each attribute value, images as units.

    Returns:
        language, attribute, value, images of either side under its name, log_odds (½ added to each count), z (log_odds
        over its standard error, Woolf 1955); the strongest |z| first within a language.
    """
    concept, rows = inputs.concept, []
    for language in inputs.languages:
        labels = concept.image_labels(inputs.samples, language).filter(pl.col("positive").is_not_null())
        for attribute in _attributes(inputs.samples, concept):
            values = inputs.samples.group_by("image_id").agg(pl.col(attribute).first().cast(pl.String).alias("value"))
            rows.append(_odds(labels.join(values, on="image_id"), language, attribute).rename(_sides(concept)))
    schema: dict[str, Any] = dict.fromkeys(("language", "attribute", "value"), pl.String)
    schema |= dict.fromkeys(concept.sides, pl.UInt32)
    empty = pl.DataFrame(schema={**schema, "log_odds": pl.Float64, "z": pl.Float64})
    found = pl.concat([empty, *rows])
    return found.sort("language", pl.col("z").abs(), "attribute", "value", descending=[False, True, False, False])


def _attributes(samples: pl.DataFrame, concept: Concept) -> list[str]:
    """The other attributes; with what the picture shows of a concept that is built in, beside what captions say."""
    if not concept.built_in:
        return other_attributes(samples, concept)
    return [name for name in attribute_columns(samples) if not name.startswith(f"{concept.name}_")]


_ONE, _OTHER = "_one", "_other"


def _sides(concept: Concept) -> dict[str, str]:
    return dict(zip((_ONE, _OTHER), concept.sides, strict=True))


def _odds(frame: pl.DataFrame, language: str, attribute: str) -> pl.DataFrame:
    all_ones, all_others = int(frame["positive"].sum()), int((~frame["positive"]).sum())
    one, other = pl.col(_ONE).cast(pl.Float64) + 0.5, pl.col(_OTHER).cast(pl.Float64) + 0.5
    ones_outside, others_outside = all_ones + 1 - one, all_others + 1 - other
    log_odds = (one / other).log() - (ones_outside / others_outside).log()
    error = (1 / one + 1 / other + 1 / ones_outside + 1 / others_outside).sqrt()
    counts = (
        frame.drop_nulls("value")
        .group_by("value")
        .agg(
            pl.col("positive").sum().cast(pl.UInt32).alias(_ONE),
            (~pl.col("positive")).sum().cast(pl.UInt32).alias(_OTHER),
        )
    )
    return counts.select(
        pl.lit(language).alias("language"),
        pl.lit(attribute).alias("attribute"),
        "value",
        _ONE,
        _OTHER,
        log_odds.alias("log_odds"),
        (log_odds / error).alias("z"),
    )
