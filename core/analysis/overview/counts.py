"""The data themselves: genders by language, their agreement, and what else is associated with gender."""

import polars as pl

from core.data.attributes import attribute_columns
from core.features.inputs import AnalysisInputs


def gender_counts(inputs: AnalysisInputs) -> pl.DataFrame:
    """language, gender, samples and their share among the language's samples."""
    parts = [
        inputs.samples.group_by(pl.col(f"gender_{language}").alias("gender"))
        .agg(pl.len().alias("samples"))
        .with_columns(pl.lit(language).alias("language"), (pl.col("samples") / inputs.samples.height).alias("share"))
        for language in inputs.languages
    ]
    return pl.concat(parts).select("language", "gender", "samples", "share").sort("language", "gender")


def agreement(inputs: AnalysisInputs) -> pl.DataFrame:
    """How many samples have each pair of English and Arabic gender; empty with one language."""
    if set(inputs.languages) != {"en", "ar"}:
        return pl.DataFrame(schema={"gender_en": pl.String, "gender_ar": pl.String, "samples": pl.UInt32})
    pairs = inputs.samples.group_by("gender_en", "gender_ar").agg(pl.len().cast(pl.UInt32).alias("samples"))
    return pairs.sort("gender_en", "gender_ar")


def attribute_odds(inputs: AnalysisInputs) -> pl.DataFrame:
    """Log odds ratio of a female caption inside against outside each attribute value, images as units.

    Returns:
        language, attribute, value, female, male (images), log_odds (½ added to each count), z (log_odds over its
        standard error, Woolf 1955); the strongest |z| first within a language.
    """
    rows = []
    for language in inputs.languages:
        labels = inputs.concept.image_labels(inputs.samples, language).filter(pl.col("positive").is_not_null())
        for attribute in attribute_columns(inputs.samples):
            if not attribute.startswith("gender_"):
                values = inputs.samples.group_by("image_id").agg(
                    pl.col(attribute).first().cast(pl.String).alias("value")
                )
                rows.append(_odds(labels.join(values, on="image_id"), language, attribute))
    schema = {"language": pl.String, "attribute": pl.String, "value": pl.String, "female": pl.UInt32, "male": pl.UInt32}
    empty = pl.DataFrame(schema={**schema, "log_odds": pl.Float64, "z": pl.Float64})
    found = pl.concat([empty, *rows])
    return found.sort("language", pl.col("z").abs(), "attribute", "value", descending=[False, True, False, False])


def _odds(frame: pl.DataFrame, language: str, attribute: str) -> pl.DataFrame:
    all_female, all_male = int(frame["positive"].sum()), int((~frame["positive"]).sum())
    female, male = pl.col("female").cast(pl.Float64) + 0.5, pl.col("male").cast(pl.Float64) + 0.5
    other_female, other_male = all_female + 1 - female, all_male + 1 - male
    log_odds = (female / male).log() - (other_female / other_male).log()
    error = (1 / female + 1 / male + 1 / other_female + 1 / other_male).sqrt()
    counts = (
        frame.drop_nulls("value")
        .group_by("value")
        .agg(
            pl.col("positive").sum().cast(pl.UInt32).alias("female"),
            (~pl.col("positive")).sum().cast(pl.UInt32).alias("male"),
        )
    )
    return counts.select(
        pl.lit(language).alias("language"),
        pl.lit(attribute).alias("attribute"),
        "value",
        "female",
        "male",
        log_odds.alias("log_odds"),
        (log_odds / error).alias("z"),
    )
