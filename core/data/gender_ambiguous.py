"""Captions whose gender a labeller cannot decide: counted and listed, so that nobody has to take them on trust."""

from collections.abc import Sequence

import polars as pl

from core.data.gender import label_caption

AMBIGUOUS = {"sample_id": pl.String, "language": pl.String, "caption": pl.String, "gender": pl.String}
"""The columns of ambiguous.parquet; `gender` is the label that the sample has, under the likelier reading."""


def ambiguous_captions(samples: pl.DataFrame, languages: Sequence[str]) -> pl.DataFrame:
    """The captions of `samples` whose words allow another label, by language and sample.

    Args:
        samples: sample_id, and caption and gender of each language.
        languages: the languages to look at.
    """
    found = [
        (sample_id, language, caption, gender)
        for language in languages
        for sample_id, caption, gender in samples.select(
            "sample_id", f"caption_{language}", f"gender_{language}"
        ).iter_rows()
        if caption is not None and label_caption(caption, language).ambiguous
    ]
    return pl.DataFrame(found, schema=AMBIGUOUS, orient="row")
