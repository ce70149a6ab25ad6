"""Which pictures show the concept: by a column of the samples or, where there is none, by their captions' agreement."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from core.data.concept import Concept

AGREEMENT = "the captions' agreement"


@dataclass(frozen=True)
class Visible:
    """The images of a study by whether their picture shows the concept.

    `table` has image_id, split and `shown` (null: neither can be said), one row per image, by image_id; `by` says what
    tells it; `unclear` counts the images that are neither, by reason.
    """

    table: pl.DataFrame
    by: str
    unclear: Mapping[str, int]

    @property
    def hidden(self) -> list[str]:
        """Images whose picture does not show the concept."""
        return self.table.filter(~pl.col("shown"))["image_id"].to_list()

    @property
    def shown(self) -> list[str]:
        """Images whose picture shows it."""
        return self.table.filter("shown")["image_id"].to_list()


def visible_images(concept: Concept, samples: pl.DataFrame, languages: Sequence[str]) -> Visible:
    """Sort a study's images.

    With the column `concept.shown`, its value tells. Without it, a picture shows the concept where all captions that
    name somebody, in all languages, are on one side; it does not where one of them names no side, or two of them name
    different ones. Captions that name both sides speak of several people, and images of such captions are neither.
    """
    column, value = concept.shown
    if column in samples.columns:
        known = samples.with_columns((pl.col(column) != value).alias("told"))
        why, by = pl.lit(f"no one value of {column}"), f"the column {column}"
        told = pl.col("told").drop_nulls()
        shown: pl.Expr = pl.when(told.n_unique() == 1).then(told.first())
    else:
        known = pl.concat(
            samples.select("image_id", "split", pl.col(concept.label_column(language)).alias("told"))
            for language in languages
        )
        by = AGREEMENT
        shown, why = _agreement(concept)
    columns = (pl.col("split").first(), shown.alias("shown"), why.alias("why"))
    table = known.group_by("image_id").agg(*columns).sort("image_id")
    unclear = Counter(table.filter(pl.col("shown").is_null())["why"].to_list())
    return Visible(table.drop("why"), by, dict(sorted(unclear.items())))


def _agreement(concept: Concept) -> tuple[pl.Expr, pl.Expr]:
    """Whether an image's captions agree on one side, and why nothing can be said where it is null."""
    labels = pl.col("told").drop_nulls()
    people = labels.filter(labels != "none")
    told = people.filter(people.is_in(list(concept.sides)))
    several, nobody = (people == "both").any(), people.len() == 0
    one = (told.len() == people.len()) & (told.n_unique() == 1)
    shown = pl.when(several | nobody).then(None).otherwise(one)
    why = pl.when(several).then(pl.lit(f"captions name both {concept.plural}"))
    return shown, why.otherwise(pl.lit("captions name nobody"))
