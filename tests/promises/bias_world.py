"""What was asked of a few images, by hand: no model ran."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from core.analysis.bias.hidden import OF_HIDDEN, Hidden
from core.causal.asked_words import ASKED, AT_WORD
from core.data.gender_concept import GENDER
from core.data.visible import Visible

JOBS = ("baker", "cook", "judge", "nurse", "pilot", "singer")
LABELS = pl.Schema({"image_id": pl.String, "language": pl.String, "label": pl.Float64})


def asked(language: str, **rates: float) -> pl.DataFrame:
    """P(female) of each image in a language."""
    rows = [
        (image, image, language, AT_WORD, float(np.log(rate)), float(np.log(1 - rate)), -np.inf, rate, 0.0)
        for image, rate in rates.items()
    ]
    return pl.DataFrame(rows, schema=ASKED, orient="row")


def labelled(language: str, **labels: float) -> pl.DataFrame:
    """What the data's captions of each image say."""
    return pl.DataFrame([(image, language, label) for image, label in labels.items()], schema=LABELS, orient="row")


def planted(
    units: Sequence[tuple[str, int, str]],
    rates: pl.DataFrame,
    labels: pl.DataFrame | None = None,
    truth: Mapping[str, float] | None = None,
) -> Hidden:
    """Images, each with its unit and its profession; a place is `nurse` or `sea` by the unit."""
    schema = {"image_id": pl.String, "unit": pl.Int64, "profession": pl.String}
    groups = pl.DataFrame(units, schema=schema, orient="row").sort("image_id")
    place = pl.when(pl.col("unit") % 2 == 0).then(pl.lit("nurse")).otherwise(pl.lit("sea"))
    known = None if truth is None else {"female_rate_of_neutral": dict(truth)}
    inputs: Any = SimpleNamespace(languages=("en", "ar"), seed=0, truth=known, concept=GENDER, counted="images")
    table = groups.select("image_id", pl.lit("test").alias("split"), pl.lit(False).alias("shown"))
    return Hidden(
        inputs,
        Visible(table, "the column visible_gender", {}),
        ("profession", "place"),
        groups.with_columns(place.alias("place")),
        rates,
        pl.DataFrame(schema=LABELS) if labels is None else labels,
        {"en": OF_HIDDEN, "ar": OF_HIDDEN},
    )
