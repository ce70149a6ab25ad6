"""The chosen features: a second look on the selection split, and their AUROC on held-out sentences."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.concepts.full_sentences import FullSentences
from core.concepts.measures import AUROCS, SPEARMAN, Auroc
from core.concepts.pairs import family_codes
from core.concepts.permuted import Best
from core.concepts.scores import RANKING, Measured, Scores
from core.concepts.second_look import isotonic_r2, kendall, partial_spearman, stability
from core.stats.intervals import bootstrap_auroc
from core.study.concept_scan import RankingSettings

_HELD_OUT = ("held_out", "held_out_low", "held_out_high")
_COLUMNS: dict[str, Any] = {
    "rank": pl.UInt32,
    **RANKING,
    "p_best": pl.Float64,
    **dict.fromkeys(("kendall", "partial_spearman", "isotonic_r2"), pl.Float64),
    **dict.fromkeys(("stability", "spearman_low", "spearman_high"), pl.Float64),
    **{f"{one.name}_{part}": pl.Float64 for one in AUROCS for part in _HELD_OUT},
}
TOP_FEATURES = pl.Schema(_COLUMNS)


@dataclass(frozen=True)
class Chosen:
    """The best features of the selection split, the best first.

    Args:
        place: their numbers among the tested features.
        effects: of the measure that they were chosen by.
        columns: their numbers among all features.
    """

    place: Int[np.ndarray, " m"]
    effects: Float[np.ndarray, " m"]
    columns: Int[np.ndarray, " m"]

    @classmethod
    def of(cls, scores: Scores, by: str, top: int) -> "Chosen":
        """The `top` features furthest from no effect; the earlier column wins a tie."""
        effects = scores.measured[by].effects()
        place = np.argsort(-np.abs(effects), kind="stable")[:top]
        return cls(place, effects[place], scores.tested[place])


def top_features(
    sentences: FullSentences, scores: Scores, chosen: Chosen, best: Best, settings: RankingSettings
) -> pl.DataFrame:
    """Rows of `TOP_FEATURES`, the best first.

    Args:
        sentences: of both splits, with all features.
        scores: of all tested features.
        chosen: which of them.
        best: of the measure that they were chosen by.
        settings: draws and seed.

    Returns:
        What `Scores.table` has of them, and: p_best (p of the best of all features at this one's distance), kendall,
        partial_spearman (log length partialled out), isotonic_r2; stability (share of resamples of the families in
        which it is among the best again, NaN where all tested features are chosen); Spearman's interval over them,
        which does not know that the feature was chosen on the same sentences; AUROC on held-out sentences with its
        interval over families.
    """
    own = scores.sentences.features(chosen.place)
    values = own.active.toarray().astype(np.float64)
    by = scores.measured[settings.by]
    stays = stability(
        by, chosen.place, own.families[by.measure.uses(own.labels)], settings.resamples, settings.seed
    ).stays
    spearman = Measured.of(SPEARMAN, own)
    ends = stability(spearman, np.arange(len(chosen.place)), own.families, settings.bootstrap, settings.seed)
    further = np.abs(best.drawn_effects)[:, None] >= np.abs(chosen.effects)[None, :] - 1e-12
    columns = {
        "rank": np.arange(1, len(chosen.place) + 1),
        "p_best": (1 + further.sum(axis=0)) / (1 + len(further)),
        "kendall": kendall(values, own.labels),
        "partial_spearman": partial_spearman(values, own.labels, own.log_length),
        "isotonic_r2": isotonic_r2(values, own.labels, spearman.effects()),
        "stability": stays,
        "spearman_low": ends.low,
        "spearman_high": ends.high,
        **_held_out(sentences.held_out, chosen, settings),
    }
    found = scores.table()[chosen.place].with_columns(**{name: pl.Series(part) for name, part in columns.items()})
    return found.select(TOP_FEATURES.names()).cast(TOP_FEATURES)


def _held_out(
    sentences: FullSentences, chosen: Chosen, settings: RankingSettings
) -> dict[str, Float[np.ndarray, " m"]]:
    values = sentences.active[:, chosen.columns].toarray().astype(np.float64)
    found: dict[str, Float[np.ndarray, " m"]] = {}
    for contrast in AUROCS:
        used = contrast.uses(sentences.labels)
        classes, codes = contrast.classes(sentences.labels[used]), family_codes(sentences.families[used])
        areas = [bootstrap_auroc(one, classes, settings.bootstrap, settings.seed, codes) for one in values[used].T]
        names = (f"{contrast.name}_{part}" for part in ("held_out_low", "held_out", "held_out_high"))
        found |= dict(zip(names, np.array(areas).T, strict=True))
    return found


def chosen_by_chance(
    sentences: FullSentences, scores: Scores, best: Best, contrast: Auroc
) -> Float[np.ndarray, " draws"]:
    """Held-out AUROC, in the direction they were chosen in, of the features that each exchange of labels chose."""
    features, which = np.unique(best.drawn, return_inverse=True)
    used = contrast.uses(sentences.labels)
    held = sentences.features(scores.tested[features]).rows(used)
    areas = Measured.of(contrast, held).effects()[which]
    return np.asarray(contrast.null + np.sign(best.drawn_effects) * areas)
