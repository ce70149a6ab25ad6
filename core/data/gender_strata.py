"""How the gender labels of a sample's English and Arabic captions stand to each other."""

import polars as pl

GENERIC = "generic masculine"
"""Arabic speaks of a man where English tells no gender (طبيب يقرأ, a doctor reads): a class of its own, no error."""
STRATA = ("both tell the same", GENERIC, "Arabic alone tells", "English alone tells", "they differ", "neither tells")
_TELL = ("female", "male", "both")


def label_stratum() -> pl.Expr:
    """Which of `STRATA` a sample is in, by its columns gender_en and gender_ar; null where a language is missing."""
    english, arabic = pl.col("gender_en"), pl.col("gender_ar")
    tells_en, tells_ar = english.is_in(_TELL), arabic.is_in(_TELL)
    same, generic, by_arabic, by_english, differ, neither = map(pl.lit, STRATA)
    return (
        pl.when(english.is_null() | arabic.is_null())
        .then(None)
        .when(~tells_en & ~tells_ar)
        .then(neither)
        .when((english == "neutral") & (arabic == "male"))
        .then(generic)
        .when(~tells_en)
        .then(by_arabic)
        .when(~tells_ar)
        .then(by_english)
        .when(english == arabic)
        .then(same)
        .otherwise(differ)
        .alias("stratum")
    )


def strata_counts(samples: pl.DataFrame) -> pl.DataFrame:
    """stratum, gender_en, gender_ar, samples and their share, in the order of `STRATA`; empty with one language."""
    counted = (
        samples.select(label_stratum(), "gender_en", "gender_ar")
        .drop_nulls()
        .group_by("stratum", "gender_en", "gender_ar")
        .agg(pl.len().cast(pl.UInt32).alias("samples"))
        .with_columns((pl.col("samples") / pl.col("samples").sum()).alias("share"))
    )
    order = pl.col("stratum").replace_strict({name: at for at, name in enumerate(STRATA)}, return_dtype=pl.Int64)
    return counted.sort(order, "gender_en", "gender_ar")


def generic_images(samples: pl.DataFrame) -> list[str]:
    """The images all of whose captions are of the generic masculine."""
    by_image = samples.select("image_id", label_stratum()).group_by("image_id")
    every = by_image.agg((pl.col("stratum") == GENERIC).fill_null(False).all().alias("generic"))
    return sorted(every.filter("generic")["image_id"].to_list())
