"""What taking one feature out of the stream does to the concept's word, beside features that could have been it."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from core.causal.controls import matched_controls
from core.causal.interventions import Ablation
from core.causal.pairs import choose_samples, find_pairs
from core.causal.resampling import Resampling
from core.causal.runs import PairRuns
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.lm.outcomes import word_ends
from core.stats.families import corrected_within

ABLATED = pl.Schema(
    {
        "language": pl.String,
        "images": pl.UInt32,
        "units": pl.UInt32,
        "mean": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "control": pl.Float64,
        "control_low": pl.Float64,
        "control_high": pl.Float64,
        "draws": pl.UInt32,
        "p": pl.Float64,
        "q": pl.Float64,
    }
)
"""One row per language with minimal pairs: the shift of the concept's first word toward the other side, in nats, with
its interval over units, the same for matched features (null without a match), two-sided p against them, and q over the
languages."""


@dataclass(frozen=True)
class Size:
    """How many test images, matched features and resamples."""

    images: int = 40
    draws: int = 99
    bootstrap: int = 999


def ablate_feature(inputs: AnalysisInputs, view: LayerView, feature: int, size: Size) -> pl.DataFrame:
    """Set one feature to zero at every position: the columns of `ABLATED`.

    Raises:
        BadInput: the model cannot be run from the layer.
    """
    loaded = inputs.open_model()
    chosen, ends = choose_samples(inputs, size.images), word_ends(loaded)
    control = matched_controls(view, [feature], size.draws, inputs.seed)
    rows = []
    for language in inputs.languages:
        pairs, _ = find_pairs(inputs, loaded, chosen.rows, language)
        if not pairs:
            continue
        runs, images = PairRuns(loaded, pairs, ends), [pair.image_id for pair in pairs]
        signs = np.array([pair.sign for pair in pairs])
        sites = runs.sites(view)
        clean = runs.log_odds(view.layer, [site.stream for site in sites])
        own, *drawn = (
            signs * (runs.patched(view.layer, sites, Ablation(one)) - clean) for one in ((feature,), *control.draws)
        )
        resampling = Resampling(inputs, size.bootstrap, {language: pairs})
        low, mean, high = resampling.mean(own, images, language)
        random = pl.DataFrame(
            {
                "draw": np.repeat(np.arange(len(drawn)), len(pairs)),
                "image_id": images * len(drawn),
                "value": np.concatenate(drawn) if drawn else np.zeros(0),
            },
            schema={"draw": pl.Int64, "image_id": pl.String, "value": pl.Float64},
        )
        units = np.unique(resampling.units(images, language)).size
        found = {"language": language, "images": len(pairs), "units": units, "mean": mean, "low": low, "high": high}
        rows.append(found | resampling.against(own, random, images, language))
    table = pl.DataFrame(rows, schema=ABLATED).with_columns(pl.col(pl.Float64).fill_nan(None))
    return corrected_within(table, pl.lit(0))
