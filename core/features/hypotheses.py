"""What a feature may stand for, out of the attributes of the images: which one leads, and which add to it.

All of it is observation (`core.features.breakdown`): an attribute that leads may stand in for one that is not written
down.
"""

from dataclasses import dataclass

import polars as pl

from core.data.attributes import attributes_by_image
from core.features.breakdown import USUAL, Drawing, explains, spreads, sweep

BEYOND = pl.Schema(
    {
        "attribute": pl.String,
        "share": pl.Float64,
        "control_low": pl.Float64,
        "control_high": pl.Float64,
        "q": pl.Float64,
    }
)
"""One row per attribute that goes with the feature beside the leading one: the share that it explains of what is left
once the mean of each of the leading attribute's values is taken away, the same share of shuffled values, and q over
these attributes."""


@dataclass(frozen=True)
class Hypotheses:
    """What may be said of a feature.

    `spreads` are all attributes (`core.features.breakdown.SPREADS`). `leading` is the attribute that explains most,
    null where none explains more than shuffled values do; `values` are its values (`SWEEP`), `high` those whose
    interval lies above the mean over all images, `beyond` what other attributes add (`BEYOND`).
    """

    spreads: pl.DataFrame
    leading: str | None
    values: pl.DataFrame
    high: tuple[str, ...]
    beyond: pl.DataFrame

    @property
    def label(self) -> str | None:
        """A proposed label: `profession: programmer, teacher`; null where nothing supports one."""
        if self.leading is None or not self.high:
            return None
        return f"{self.leading}: {', '.join(self.high)}"

    @property
    def also(self) -> tuple[str, ...]:
        """The attributes that explain something beyond the leading one: evidence that it is not the whole of it."""
        return tuple(self.beyond.filter(explains())["attribute"].to_list())


def hypotheses(means: pl.DataFrame, samples: pl.DataFrame, drawing: Drawing = USUAL) -> Hypotheses:
    """Ask every attribute of the samples about a feature.

    Args:
        means: the feature by image, the columns of `core.features.breakdown.MEANS`.
        samples: the study's.
        drawing: how many resamples and shuffles, and their seed.
    """
    table = spreads(means, samples, drawing)
    going = table.filter(explains())
    if going.is_empty():
        return Hypotheses(table, None, pl.DataFrame(), (), BEYOND.to_frame())
    leading = str(going["attribute"][0])
    values = sweep(means, samples, leading, drawing)
    high = values.filter(pl.col("low") > means["value"].mean())["value"].to_list()
    others = going["attribute"][1:].to_list()
    return Hypotheses(table, leading, values, tuple(high), _beyond(means, samples, leading, others, drawing))


def _beyond(
    means: pl.DataFrame, samples: pl.DataFrame, leading: str, others: list[str], drawing: Drawing
) -> pl.DataFrame:
    known = means.join(attributes_by_image(samples, [leading]), on="image_id", how="inner").drop_nulls(leading)
    left = known.select("image_id", pl.col("value") - pl.col("value").mean().over(leading))
    kept = ["sample_id", "image_id", *(["twin_id"] if "twin_id" in samples.columns else []), *others]
    return spreads(left, samples.select(kept), drawing).select(BEYOND.names()).cast(BEYOND)
