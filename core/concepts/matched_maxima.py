"""The maximum over fragments of the chosen features, compared among held-out sentences of like length."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from core.concepts.full_sentences import FullSentences
from core.concepts.matched_lengths import matched_auroc
from core.concepts.measures import CLEAN
from core.concepts.scanned import ScannedSAE
from core.study.concept_scan import RankingSettings

MAXIMA = pl.Schema(
    {
        "sae": pl.String,
        "feature": pl.UInt32,
        **dict.fromkeys(("auroc", "low", "high"), pl.Float64),
        **dict.fromkeys(("pairs", "positives", "negatives"), pl.UInt32),
    }
)
"""One row per chosen feature: AUROC of its maximum over fragments, label 3 against 0, with its interval over families
(null without pairs of like length), and how many pairs and sentences it rests on."""


def matched_maxima(
    top: pl.DataFrame, sentences: FullSentences, scanned: Sequence[Path], settings: RankingSettings
) -> pl.DataFrame:
    """Rows of `MAXIMA` for the features of `top` (`sae`, `feature`).

    Args:
        top: the chosen features.
        sentences: those of the scanned SAEs, in their order.
        scanned: the folders of the scanned SAEs.
        settings: resamples, and their seed.
    """
    opened = {one.card.key: one for one in map(ScannedSAE.open, scanned)}
    used = sentences.is_held_out & CLEAN.uses(sentences.labels)
    tokens = np.rint(np.exp(sentences.log_length[used])).astype(np.int64)
    classes, families = CLEAN.classes(sentences.labels[used]), sentences.families[used]
    rows = []
    for sae, feature in top.select("sae", "feature").iter_rows():
        maxima = opened[sae].maximum(feature)[used]
        found = matched_auroc(maxima, tokens, classes, families, (settings.bootstrap, settings.seed))
        area = (found.area.mean, found.area.low, found.area.high)
        rows.append((sae, feature, *area, found.pairs, found.positives, found.negatives))
    return pl.DataFrame(rows, schema=MAXIMA, orient="row").with_columns(pl.col("auroc", "low", "high").fill_nan(None))
