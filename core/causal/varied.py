"""A feature where one thing of its input is varied, everything else is fixed, and the model runs again.

The design is within images: every image is run with every value, so that images differ in nothing that could stand in
for the value. The control is the same share after the values were shuffled within each image.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Float

from core.causal.interventions import open_edit_site
from core.causal.runs import portions
from core.causal.variations import Variation
from core.errors import BadInput
from core.features.layer_view import LayerView
from core.lm.batches import build_batch
from core.lm.loaded import LoadedModel
from core.lm.patched import clean_run
from core.lm.prompts import EncodedSample, encode_sample
from core.progress import Progress, silent
from core.stats.intervals import bootstrap_mean

PASS_TOKENS = 4096
"""Tokens of a forward pass, padding included."""
VARIED = pl.Schema({"image_id": pl.String, "value": pl.String, "activation": pl.Float64})
"""One row per image and a value that it was run with: the feature's mean activation over image, prompt and caption."""
EFFECTS = pl.Schema(
    {"value": pl.String, "images": pl.UInt32, "mean": pl.Float64, "low": pl.Float64, "high": pl.Float64}
)
"""One row per value, the highest first: the mean over images of the activation, less the image's mean over all
values."""


def measure_varied(
    loaded: LoadedModel, opened: LayerView, feature: int, variations: Iterable[Variation], progress: Progress = silent
) -> pl.DataFrame:
    """Run every variation and read the feature: the columns of `VARIED`.

    Raises:
        BadInput: there is nothing to run, or a caption cannot be encoded.
    """
    asked = list(variations)
    if not asked:
        raise BadInput("there is nothing to vary: the study has no image for it")
    encoded = [encode_sample(loaded, one.request) for one in asked]
    values = np.empty(len(asked))
    cut = portions([len(sample.ids) for sample in encoded], PASS_TOKENS)
    for number, portion in enumerate(cut):
        values[portion] = _means(loaded, opened, feature, [encoded[index] for index in portion])
        progress(number + 1, len(cut))
    rows = [(one.image_id, one.value, value) for one, value in zip(asked, values.tolist(), strict=True)]
    return pl.DataFrame(rows, schema=VARIED, orient="row")


def _means(
    loaded: LoadedModel, opened: LayerView, feature: int, samples: Sequence[EncodedSample]
) -> Float[np.ndarray, " B"]:
    batch = build_batch(loaded, samples)
    stream = clean_run(loaded, batch, [opened.layer])[opened.layer]
    site = open_edit_site(opened.sae, stream, batch.segments, batch.patchable(), opened.table.norm_limit)
    own = torch.nonzero(site.reach)[:, 0].cpu().numpy()
    sums = np.bincount(own, site.activations([feature])[:, 0].double().cpu().numpy(), minlength=len(samples))
    return np.asarray(sums / np.maximum(np.bincount(own, minlength=len(samples)), 1))


def effects(varied: pl.DataFrame, draws: int, seed: int) -> pl.DataFrame:
    """What each value does to the feature: the columns of `EFFECTS`, with the bootstrap over images."""
    within = varied.with_columns(pl.col("activation") - pl.col("activation").mean().over("image_id"))
    rows = []
    for (value,), part in within.partition_by("value", as_dict=True).items():
        low, mean, high = bootstrap_mean(part["activation"].to_numpy(), draws, seed)
        rows.append((value, part.height, mean, low, high))
    table = pl.DataFrame(rows, schema=EFFECTS, orient="row").with_columns(pl.col("low", "high").fill_nan(None))
    return table.sort("mean", "value", descending=[True, False])


@dataclass(frozen=True)
class Moved:
    """How much of the variance within images the values explain (NaN where the feature never changes), the same share
    of values shuffled within each image (2.5th percentile, median, 97.5th), and p: how many of these reach it."""

    share: float
    low: float
    control: float
    high: float
    p: float


def moved(varied: pl.DataFrame, draws: int, seed: int) -> Moved:
    """Whether the feature changes with the value."""
    table = varied.pivot("value", index="image_id", values="activation").drop("image_id").to_numpy()
    within = table - table.mean(axis=1, keepdims=True)
    total = float((within**2).sum())
    if total <= 1e-12 * max(float((table**2).sum()), 1e-300):
        return Moved(float("nan"), float("nan"), float("nan"), float("nan"), 1.0)
    rng = np.random.default_rng(seed)
    drawn = np.array([_explained(rng.permuted(within, axis=1)) for _ in range(draws)]) / total
    own = _explained(within) / total
    low, middle, high = np.quantile(drawn, [0.025, 0.5, 0.975])
    p = (1 + np.count_nonzero(drawn >= own * (1 - 1e-12))) / (1 + draws)
    return Moved(own, float(low), float(middle), float(high), float(p))


def _explained(within: Float[np.ndarray, "N values"]) -> float:
    return float(len(within) * (within.mean(axis=0) ** 2).sum())
