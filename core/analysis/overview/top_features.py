"""The features that rank first on the selection split, and how each does on test images."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from core.analysis.overview.emergence import Place, ProbeSetup
from core.data.concept import Concept
from core.features.associations import labelled_images
from core.features.layer_view import LayerView
from core.stats.intervals import auroc, bootstrap_auroc

TOP = pl.Schema(
    {
        "layer": pl.UInt16,
        "rank": pl.UInt16,
        "feature": pl.UInt32,
        "language": pl.String,
        "position_set": pl.String,
        **dict.fromkeys(("auroc_select", "auroc", "low", "high"), pl.Float64),
    }
)


def top_features(view: LayerView, chosen: Sequence[int], place: Place, setup: ProbeSetup) -> list[dict[str, Any]]:
    """AUROC of some features in one language and position set, on the selection and on the test split.

    Args:
        view: the layer.
        chosen: its features, in the order in which the selection split ranks them.
        place: language and position set.
        setup: labels, units, draws and seed.

    Returns:
        Rows of `TOP`: layer, rank, feature, language, position_set, auroc_select (NaN with under 5 images of a
        side), and auroc with its interval (low, high) on test images; none with under 5 test images of a side.
    """
    images = view.feature_sums.by_image(*place)
    select, test = (labelled_images(images.images, setup.labels[place.language], split) for split in ("select", "test"))
    if test is None:
        return []
    units = np.array([setup.units[images.images[row]] for row in test.rows])
    rows = []
    for rank, feature in enumerate(chosen):
        values = images.means[:, feature]
        labels = test.positive.astype(np.int64)
        area = bootstrap_auroc(values[test.rows], labels, setup.bootstrap, setup.seed, units)
        known = math.nan if select is None else auroc(values[select.rows], select.positive.astype(np.int64))
        ends = {"auroc_select": known, "auroc": area.mean, "low": area.low, "high": area.high}
        rows.append({"layer": view.layer, "rank": rank + 1, "feature": feature, **place._asdict(), **ends})
    return rows


def top_summary(top: pl.DataFrame, concept: Concept, rows: int = 10) -> pl.DataFrame:
    """The `rows` features per language whose AUROC on the selection split is furthest from ½, before the concept is
    spoken.

    Where nothing was tested there, those of all position sets. What the test split says of them takes no part.
    """
    known = top.filter(pl.col("auroc_select").is_not_null())
    decided = known.filter(pl.col("position_set").is_in(list(concept.decision_sets)))
    distance = (pl.col("auroc_select") - 0.5).abs()
    order = [pl.col("language"), distance, pl.col("layer"), pl.col("rank"), pl.col("position_set")]
    chosen = (decided if decided.height else known).sort(order, descending=[False, True, False, False, False])
    return chosen.group_by("language", maintain_order=True).head(rows)
