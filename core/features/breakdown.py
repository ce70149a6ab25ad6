"""How a feature's activation goes with what is known of the images. Nothing is varied: this is observation.

The unit is an image with its twin. The measure is the adjusted η² of `core.features.correlates`; its control is the
same measure after the feature's values were shuffled: among units where the attribute is the same for a whole unit;
within units, and among images that are units of their own, where it is what the images of a unit differ in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.data.attributes import attribute_columns, attributes_by_image
from core.data.twins import unit_of_image
from core.errors import BadInput
from core.features.correlates import adjusted_eta2
from core.features.index import FeatureIndex
from core.features.row_groups import RowGroups
from core.stats.families import ALPHA, corrected
from core.stats.intervals import bootstrap_mean

MEANS = pl.Schema({"image_id": pl.String, "value": pl.Float64})
"""A feature's mean activation over an image's rows, one row per image."""
SWEEP = pl.Schema(
    {
        "value": pl.String,
        "images": pl.UInt32,
        "units": pl.UInt32,
        "mean": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "firing": pl.Float64,
    }
)
"""One row per value of an attribute, the highest mean first: the images that have it and their units, the mean of
`MEANS` with its 95 % interval (null with one unit, or where all images have one value), and the share of these images
on which the feature fires."""
HEAT = pl.Schema({"x": pl.String, "y": pl.String, "images": pl.UInt32, "mean": pl.Float64})
"""One row per pair of values that some image has."""
SPREADS = pl.Schema(
    {
        "attribute": pl.String,
        "images": pl.UInt32,
        "units": pl.UInt32,
        "share": pl.Float64,
        "control": pl.Float64,
        "control_low": pl.Float64,
        "control_high": pl.Float64,
        "p": pl.Float64,
        "q": pl.Float64,
    }
)
"""One row per attribute, the largest share first: the images of which it is known and their units, how much of the
variance over images it explains (adjusted η²; over the means of units where all images of a unit have one value), the
same share of shuffled values (median, 2.5th and 97.5th percentile), one-sided p, and q over all attributes
(Benjamini-Hochberg)."""


@dataclass(frozen=True)
class Drawing:
    """How many resamples and shuffles there are, and their seed."""

    draws: int = 999
    seed: int = 0


USUAL = Drawing()


def feature_means(
    index: FeatureIndex, groups: RowGroups, feature: int, language: str, position_sets: Sequence[str]
) -> pl.DataFrame:
    """The feature's mean activation over each image's rows in these position sets: the columns of `MEANS`.

    Rows that all languages share count in each language.

    Raises:
        BadInput: there is no such feature, or no row is in these sets.
    """
    rows, values = index.csc(feature)
    images, selection = groups.images(language, *position_sets)
    if not images:
        known = ", ".join(sorted(set(groups.table["position_set"])))
        raise BadInput(f"no row of {language!r} is in {', '.join(position_sets)}; there are {known}")
    of_row = groups.of_row[rows]
    counted = of_row >= 0
    sums = np.bincount(of_row[counted], np.asarray(values, np.float64)[counted], minlength=groups.table.height)
    return pl.DataFrame({"image_id": images, "value": (selection @ sums) / (selection @ groups.rows())}, schema=MEANS)


def sweep(means: pl.DataFrame, samples: pl.DataFrame, attribute: str, drawing: Drawing = USUAL) -> pl.DataFrame:
    """The feature by value of an attribute of the samples: the columns of `SWEEP`.

    Raises:
        BadInput: the samples have no such attribute.
    """
    known = _joined(means, samples, [attribute])
    rows = []
    for (value,), part in known.partition_by(attribute, as_dict=True).items():
        values, units = part["value"].to_numpy(), part["unit"].to_numpy()
        low, mean, high = bootstrap_mean(values, drawing.draws, drawing.seed, units)
        ends = (low, high) if np.ptp(values) > 0 and np.isfinite(low) else (None, None)
        rows.append((value, part.height, np.unique(units).size, mean, *ends, (values > 0).mean()))
    table = pl.DataFrame(rows, schema=SWEEP, orient="row")
    return table.sort("mean", "value", descending=[True, False])


def heat(means: pl.DataFrame, samples: pl.DataFrame, x: str, y: str) -> pl.DataFrame:
    """The feature by two attributes at once: the columns of `HEAT`.

    Raises:
        BadInput: the samples lack one of them, or they are one.
    """
    if x == y:
        raise BadInput(f"{x!r} is asked for twice; name two attributes")
    cells = _joined(means, samples, [x, y]).group_by(x, y).agg(pl.len().alias("images"), pl.col("value").mean())
    return cells.sort(x, y).rename({x: "x", y: "y", "value": "mean"}).select(HEAT.names()).cast(HEAT)


def strongest_rows(activations: pl.DataFrame, samples: pl.DataFrame, by: str | None, most: int) -> pl.DataFrame:
    """The images on which a feature fires most strongly, each at its strongest token: value, image_id, language,
    segment, token; `most` of them, or as many of each value of the attribute `by`.

    Args:
        activations: as `FeatureView.activations` gives them.
        samples: the study's.
        by: null for the strongest of all.
        most: how many.

    Raises:
        BadInput: the samples have no such attribute.
    """
    columns = ["value", "image_id", "language", "segment", "token"]
    own = activations.filter(~pl.col("special")).sort("value", descending=True, maintain_order=True)
    first = own.unique("image_id", keep="first", maintain_order=True)
    if by is None:
        return first.select(columns).head(most)
    known = _joined(first, samples, [by])
    return known.group_by(by, maintain_order=True).head(most).sort(by, maintain_order=True).select(by, *columns)


def spreads(means: pl.DataFrame, samples: pl.DataFrame, drawing: Drawing = USUAL) -> pl.DataFrame:
    """How much of the feature each attribute of the samples explains: the columns of `SPREADS`.

    Attributes that the images of `means` do not differ in, or whose every image is of its own kind, are left out.
    """
    rows = []
    for attribute in attribute_columns(samples):
        known = _joined(means, samples, [attribute])
        codes = known[attribute].rank("dense").cast(pl.Int64).to_numpy()
        own, drawn = _shuffled_share(known["value"].to_numpy(), codes, known["unit"].to_numpy(), drawing)
        if np.isfinite(own):
            low, middle, high = np.nanquantile(drawn, [0.025, 0.5, 0.975])
            p = (1 + np.count_nonzero(drawn >= own)) / (1 + drawing.draws)
            rows.append((attribute, known.height, known["unit"].n_unique(), own, middle, low, high, p))
    names = [name for name in SPREADS.names() if name != "q"]
    table = pl.DataFrame(rows, schema={name: SPREADS[name] for name in names}, orient="row")
    return corrected(table).sort("share", "attribute", descending=[True, False])


def explains() -> pl.Expr:
    """Whether an attribute, a row of `SPREADS`, explains more than shuffled values do."""
    return (pl.col("q") <= ALPHA) & (pl.col("share") > pl.col("control_high"))


def _joined(means: pl.DataFrame, samples: pl.DataFrame, attributes: Sequence[str]) -> pl.DataFrame:
    """The images of which all `attributes` are known, with these, `value` and their `unit`."""
    known = attribute_columns(samples)
    for name in attributes:
        if name not in known:
            raise BadInput(f"the samples have no attribute {name!r}; there are {', '.join(known) or 'none'}")
    units = unit_of_image(samples)
    told = means.join(attributes_by_image(samples, attributes), on="image_id", how="inner", maintain_order="left")
    told = told.drop_nulls(list(attributes))
    return told.with_columns(pl.Series("unit", [units[image] for image in told["image_id"]], dtype=pl.Int64))


def _shuffled_share(
    values: Float[np.ndarray, " n"], codes: Int[np.ndarray, " n"], units: Int[np.ndarray, " n"], drawing: Drawing
) -> tuple[float, Float[np.ndarray, " draws"]]:
    """Adjusted η² of the values by code, and of as many shuffles of them."""
    _, first, units = np.unique(units, return_index=True, return_inverse=True)
    sizes = np.bincount(units)
    if (np.bincount(units, codes) == sizes * codes[first]).all():
        values, codes = np.bincount(units, values) / sizes, codes[first]
        blocks = np.zeros(values.size, np.int64)
    else:
        blocks = np.where(sizes[units] == 1, -1, units)
    place = np.argsort(blocks, kind="stable")
    values, codes, blocks = values[place], codes[place], blocks[place]
    rng = np.random.default_rng(drawing.seed)
    orders = (np.lexsort((rng.random(values.size), blocks)) for _ in range(drawing.draws))
    drawn = np.stack([values[order] for order in orders], axis=1)
    return float(adjusted_eta2(values[:, None], codes)[0]), adjusted_eta2(drawn, codes)
