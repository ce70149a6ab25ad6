"""Which position set each row belongs to: what a measure taken there can claim.

Gender can be said to *emerge* only at `last-prompt` (before any caption token) and `pre-gender` (caption tokens before
the first gendered word); from `first-gendered` on it can be read off the caption.
"""

import polars as pl

from core.data.gender import label_caption

POSITION_SETS = ("image", "last-prompt", "pre-gender", "first-gendered", "later-gendered", "other")
"""The sets, in reading order. `other` are prompt words, caption words after gender is first spoken, and every word of
a caption that speaks of no gender. Rows of a model of one's own are `item`, and in none of these."""

_WORDS = {"sample_id": pl.String, "language": pl.String, "start": pl.Int32, "end": pl.Int32, "order": pl.UInt32}


def position_sets(tokens: pl.DataFrame, samples: pl.DataFrame) -> pl.Series:
    """Return each row's position set, aligned with `tokens` (T rows).

    Args:
        tokens: rows with sample_id, image_id, language, segment, position, char_start, char_end and special.
        samples: sample_id and caption_en, caption_ar; gendered words are found in the captions.
    """
    rows = tokens.select(
        "sample_id", "image_id", "language", "segment", "position", "char_start", "char_end", "special"
    ).with_row_index("index")
    decision = _decision_points(rows)
    gendered = _gendered_rows(rows, samples)
    known = rows.join(gendered, on="index", how="left", maintain_order="left").with_columns(
        decision=pl.col("index").is_in(decision.implode())
    )
    in_caption = (pl.col("segment") == "caption") & ~pl.col("special")
    name = (
        pl.when(pl.col("decision"))
        .then(pl.lit("last-prompt"))
        .when((pl.col("segment") == "image") & ~pl.col("special"))
        .then(pl.lit("image"))
        .when(pl.col("segment") == "item")
        .then(pl.lit("item"))
        .when(in_caption & (pl.col("order") == 0))
        .then(pl.lit("first-gendered"))
        .when(in_caption & (pl.col("order") > 0))
        .then(pl.lit("later-gendered"))
        .when(in_caption & pl.col("before_gender"))
        .then(pl.lit("pre-gender"))
        .otherwise(pl.lit("other"))
    )
    return known.select(name.alias("position_set")).to_series()


def _decision_points(rows: pl.DataFrame) -> pl.Series:
    """The last prompt row before each caption; BOS alone is no prompt, and nothing is decided on it.

    It is a language's own row, or the image's shared one where the languages' prompts do not differ.
    """
    prompt = rows.filter(pl.col("segment") == "prompt", pl.col("position") > 0)
    own = prompt.filter(pl.col("language").is_not_null())
    last_own = own.group_by("sample_id", "language").agg(pl.col("index").sort_by("position").last())
    captions = rows.filter(pl.col("segment") == "caption", pl.col("language").is_not_null())
    without_own = captions.join(own, on=["sample_id", "language"], how="anti")["image_id"].unique()
    images_with_own = own["image_id"].unique()
    shared = prompt.filter(
        pl.col("language").is_null(),
        pl.col("image_id").is_in(without_own.implode()) | ~pl.col("image_id").is_in(images_with_own.implode()),
    )
    last_shared = shared.group_by("image_id").agg(pl.col("index").sort_by("position").last())
    return pl.concat([last_own["index"], last_shared["index"]]).sort()


def _gendered_rows(rows: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    """Caption rows by index: which gendered word they overlap (`order`), and whether they come before the first."""
    words = _gendered_words(samples.filter(pl.col("sample_id").is_in(rows["sample_id"].unique().implode())))
    spans = rows.filter(pl.col("segment") == "caption", pl.col("char_start").is_not_null()).select(
        "index", "sample_id", "language", "char_start", "char_end"
    )
    pairs = spans.join(words, on=["sample_id", "language"])
    overlaps = (pl.col("char_start") < pl.col("end")) & (pl.col("char_end") > pl.col("start"))
    return pairs.group_by("index").agg(
        pl.col("order").filter(overlaps).min(),
        before_gender=(pl.col("char_end") <= pl.col("start").min()).first(),
    )


def _gendered_words(samples: pl.DataFrame) -> pl.DataFrame:
    found = [
        (sample_id, language, word.start, word.end, order)
        for language in ("en", "ar")
        for sample_id, caption in samples.select("sample_id", f"caption_{language}").drop_nulls().iter_rows()
        for order, word in enumerate(label_caption(caption, language).tokens)
    ]
    return pl.DataFrame(found, schema=_WORDS, orient="row")
