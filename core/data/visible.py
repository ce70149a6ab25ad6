"""Which pictures show the concept: by a column of the samples or, where there is none, by their captions' agreement."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from core.data.caption_sets import told
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

    With the column `concept.shown`, its value tells, in either case: a side's name or a word for it, in a language of
    the study, says that the picture shows the concept, and any value but these and the one that says that it does not
    is unclear. Without the column, a picture shows the concept where all captions that
    name somebody, in all languages, are on one side; it does not where one of them names no side, or two of them name
    different ones. Captions that name both sides speak of several people, and images of such captions are neither.
    """
    column, value = concept.shown
    if column in samples.columns:
        meant = {name: _shows(concept, name, value, languages) for name in samples[column].drop_nulls().unique()}
        read = pl.col(column).replace_strict(meant, default=None, return_dtype=pl.Boolean)
        unread = pl.col(column).filter(pl.col("told").is_null()).drop_nulls().sort().first()
        known, by = samples.with_columns(read.alias("told")), f"the column {column}"
        values = pl.col("told").drop_nulls()
        shown: pl.Expr = pl.when(values.n_unique() == 1, unread.is_null()).then(values.first())
        mixed = pl.when(unread.is_null()).then(pl.lit(f"no one value of {column}"))
        why: pl.Expr = mixed.otherwise(pl.format(f"{column} is {{}}", pl.concat_str(pl.lit("'"), unread, pl.lit("'"))))
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


def _shows(concept: Concept, value: str, hidden: str, languages: Sequence[str]) -> bool | None:
    """Whether a value of the column says that the picture shows the concept; null where it says neither."""
    own = value.strip().lower()
    if own == hidden:
        return False
    names = {side.lower() for side in concept.sides}
    return True if own in names or any(told(concept, own, one) in concept.sides for one in languages) else None


def _agreement(concept: Concept) -> tuple[pl.Expr, pl.Expr]:
    """Whether an image's captions agree on one side, and why nothing can be said where it is null."""
    labels = pl.col("told").drop_nulls()
    people = labels.filter(labels != "none")
    clear = people.filter(people.is_in(list(concept.sides)))
    several, nobody = (people == "both").any(), people.len() == 0
    one = (clear.len() == people.len()) & (clear.n_unique() == 1)
    shown = pl.when(several | nobody).then(None).otherwise(one)
    why = pl.when(several).then(pl.lit(f"captions name both {concept.plural}"))
    return shown, why.otherwise(pl.lit("captions name nobody"))
