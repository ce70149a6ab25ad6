"""Everything that is compared in one layer, with its SAE's features, its frozen dictionary's, or its stream."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from core.analysis.alignment import Config
from core.analysis.alignment.concept_features import Firsts, decoder_alignment, first_features
from core.analysis.alignment.design import Design
from core.analysis.alignment.geometry import Geometry, direction
from core.analysis.alignment.same_image import FEATURES, SameImage, compare_captions
from core.analysis.alignment.values import OverFeatures, Value
from core.features.caption_rows import CAPTION, PairedCaptions
from core.features.layer_view import LayerView
from core.features.row_groups import RowGroups, stream_means, sum_stream

GENDER = pl.Schema(
    {"language": pl.String, "rank": pl.UInt32, "feature": pl.UInt32, "d": pl.Float64, "shared": pl.Boolean}
)
"""One row per language and first feature: Cohen's d, and whether the other language has it among its first, too."""


@dataclass(frozen=True)
class Compared:
    """One layer with one dictionary: measures by name, and tables of features."""

    measures: dict[str, Value]
    features: pl.DataFrame = field(default_factory=lambda: FEATURES.to_frame())
    gender: pl.DataFrame = field(default_factory=lambda: GENDER.to_frame())
    geometry: Geometry | None = None
    firsts: Firsts | None = None
    same_image: SameImage | None = None


def compare_features(
    opened: LayerView, captions: PairedCaptions, design: Design, config: Config, seed: int
) -> Compared:
    """A dictionary's features on the captions of `design.images`."""
    own = captions.of(design.images)
    found = compare_captions(own, design, seed)
    matched = np.zeros(found.live)
    matched[: found.matched.first.size] = 1
    measures: dict[str, Value] = {
        "correlation": found.correlation,
        "jaccard": found.jaccard,
        "matched": OverFeatures(matched, np.zeros(0)),
    }
    if design.sides is None:
        return Compared(measures, found.table, same_image=found)
    firsts = first_features((own.first.means, own.second.means), design.sides, captions.supported, config.top)
    if firsts is None:
        return Compared(measures, found.table, same_image=found)
    decoder = opened.sae.W_dec.detach().float().cpu().numpy()
    cosine, transport = decoder_alignment(firsts, decoder)
    measures |= {"overlap": firsts.overlap, "cosine": cosine, "transport": transport}
    table = gender_table(firsts, opened.languages)
    return Compared(measures, found.table, table, firsts=firsts, same_image=found)


def compare_streams(opened: LayerView, groups: RowGroups, design: Design) -> Compared:
    """The residual stream on the captions of `design.images`."""
    sums = sum_stream(opened.table, groups)
    streams = []
    for language in opened.languages[:2]:
        images, means = stream_means(sums, groups, language, CAPTION)
        place = {image: row for row, image in enumerate(images)}
        streams.append(means[[place[image] for image in design.images]])
    geometry = Geometry.of(*streams)
    measures: dict[str, Value] = {"cka": geometry.cka(design)}
    if design.sides is not None:
        measures["direction"] = direction((streams[0], streams[1]), design.sides, design)
    return Compared(measures, geometry=geometry)


def gender_table(firsts: Firsts, languages: Sequence[str]) -> pl.DataFrame:
    """The first features as labelled."""
    parts = []
    ranked = (firsts.first[0], firsts.second[0])
    for language, own, other, d in zip(languages, ranked, ranked[::-1], (firsts.d_first, firsts.d_second)):
        columns = {"rank": np.arange(1, own.size + 1), "feature": own, "d": d[own], "shared": np.isin(own, other)}
        parts.append(pl.DataFrame(columns).select(pl.lit(language).alias("language"), pl.all()))
    return pl.concat(parts).cast(GENDER)
