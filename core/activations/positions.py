"""Which position set each row belongs to: what a measure taken there can claim.

A concept can be said to *emerge* only at the last prompt row (before any caption token) and on caption tokens before
its first word; from that word on it can be read off the caption. A concept names its sets: `core.data.concept`.

`other` are prompt words, caption words after the concept is first spoken, every word of a caption that does not speak
of it, rows pooled over a caption or a prompt, which stand for no place in it, and outliers. Rows of a model of one's
own are `item`.
"""

import polars as pl

from core.activations.items import ITEM
from core.activations.outliers import is_outlier
from core.data.concept import IMAGE, LAST_PROMPT, OTHER, Concept
from core.data.languages import LANGUAGES

_WORDS = {"sample_id": pl.String, "language": pl.String, "start": pl.Int32, "end": pl.Int32, "order": pl.UInt32}


def position_sets(tokens: pl.DataFrame, samples: pl.DataFrame, concept: Concept) -> pl.Series:
    """Return each row's position set, aligned with `tokens` (T rows).

    Args:
        tokens: rows with the columns of a shard's tokens.parquet (`core.activations.rows.TOKENS`).
        samples: sample_id and caption_en, caption_ar.
        concept: its words are found in the captions.
    """
    rows = _numbered(tokens, samples)
    decision = _decision_points(rows)
    spoken = _spoken_rows(rows, samples, concept)
    known = rows.join(spoken, on="index", how="left", maintain_order="left").with_columns(
        decision=pl.col("index").is_in(decision.implode())
    )
    in_caption = (pl.col("segment") == "caption") & ~pl.col("special") & ~pl.col("pooled")
    name = (
        pl.when(pl.col("decision") & ~pl.col("outlier"))
        .then(pl.lit(LAST_PROMPT))
        .when((pl.col("segment") == "image") & ~pl.col("special"))
        .then(pl.lit(IMAGE))
        .when(pl.col("segment") == ITEM)
        .then(pl.lit(ITEM))
        .when(in_caption & (pl.col("order") == 0))
        .then(pl.lit(concept.positions.first))
        .when(in_caption & (pl.col("order") > 0))
        .then(pl.lit(concept.positions.later))
        .when(in_caption & pl.col("before"))
        .then(pl.lit(concept.positions.before))
        .otherwise(pl.lit(OTHER))
    )
    return known.select(name.alias("position_set")).to_series()


def last_prompt_rows(tokens: pl.DataFrame, samples: pl.DataFrame) -> pl.Series:
    """Whether each row is the last one before a caption, outliers left out: the set `LAST_PROMPT` alone."""
    rows = _numbered(tokens, samples)
    decision = _decision_points(rows)
    return rows.select(pl.col("index").is_in(decision.implode()) & ~pl.col("outlier")).to_series()


def _numbered(tokens: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    rows = tokens.select(
        "sample_id", "image_id", "language", "segment", "position", "char_start", "char_end", "special"
    ).with_row_index("index")
    return rows.with_columns(is_outlier(tokens), pooled=_pooled(tokens, samples))


def _pooled(tokens: pl.DataFrame, samples: pl.DataFrame) -> pl.Series:
    """Rows of `capture.pool`: no token of their own, and the segment's name or the whole caption in its place."""
    lengths = samples.select(
        "sample_id", *(pl.col(f"caption_{language}").str.len_chars().alias(language) for language in ("en", "ar"))
    )
    known = tokens.join(lengths, on="sample_id", how="left", maintain_order="left")
    length = pl.when(language="ar").then("ar").otherwise("en")
    whole = (pl.col("char_start") == 0) & (pl.col("char_end") == length)
    pooled = pl.col("token_id").is_null() & (
        (pl.col("token") == "[prompt]") | ((pl.col("segment") == "caption") & whole)
    )
    return known.select(pooled.fill_null(False)).to_series()


def _decision_points(rows: pl.DataFrame) -> pl.Series:
    """The last prompt row before each caption; BOS alone is no prompt, and nothing is decided on it.

    It is a language's own row, or the image's shared one where the languages' prompts do not differ.
    """
    prompt = rows.filter(pl.col("segment") == "prompt", pl.col("position") > 0, ~pl.col("pooled"))
    own = prompt.filter(pl.col("language").is_not_null())
    captions = rows.filter(pl.col("segment") == "caption", pl.col("language").is_not_null())
    last_own = _next_to_captions(own, captions, ["sample_id", "language"])
    without_own = captions.join(own, on=["sample_id", "language"], how="anti")["image_id"].unique()
    images_with_own = own["image_id"].unique()
    shared = prompt.filter(
        pl.col("language").is_null(),
        pl.col("image_id").is_in(without_own.implode()) | ~pl.col("image_id").is_in(images_with_own.implode()),
    )
    return pl.concat([last_own, _next_to_captions(shared, captions, ["image_id"])]).sort()


def _next_to_captions(prompt: pl.DataFrame, captions: pl.DataFrame, keys: list[str]) -> pl.Series:
    """The last prompt row by keys, unless a gap to the caption tells that the row before it was dropped."""
    last = prompt.group_by(keys).agg(pl.col("index", "position").sort_by("position").last())
    first = captions.group_by(keys).agg(pl.col("position").min().alias("first"))
    known = last.join(first, on=keys, how="left")
    return known.filter(pl.col("first").is_null() | (pl.col("first") <= pl.col("position") + 1))["index"]


def _spoken_rows(rows: pl.DataFrame, samples: pl.DataFrame, concept: Concept) -> pl.DataFrame:
    """Caption rows by index: which of the concept's words they overlap (`order`), and whether they come before the
    first."""
    words = _words(samples.filter(pl.col("sample_id").is_in(rows["sample_id"].unique().implode())), concept)
    spans = rows.filter(pl.col("segment") == "caption", pl.col("char_start").is_not_null()).select(
        "index", "sample_id", "language", "char_start", "char_end"
    )
    pairs = spans.join(words, on=["sample_id", "language"])
    overlaps = (pl.col("char_start") < pl.col("end")) & (pl.col("char_end") > pl.col("start"))
    return pairs.group_by("index").agg(
        pl.col("order").filter(overlaps).min(),
        before=(pl.col("char_end") <= pl.col("start").min()).first(),
    )


def _words(samples: pl.DataFrame, concept: Concept) -> pl.DataFrame:
    found = [
        (sample_id, language, word.start, word.end, order)
        for language in LANGUAGES
        for sample_id, caption in samples.select("sample_id", f"caption_{language}").drop_nulls().iter_rows()
        for order, word in enumerate(concept.words(caption, language))
    ]
    return pl.DataFrame(found, schema=_WORDS, orient="row")
