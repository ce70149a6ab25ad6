"""The chosen feature beside what reads the concept without an SAE, on the same held-out sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float

from core.concepts.baselines import Baseline, bag_of_words, best_setting, length_alone, mean_probes
from core.concepts.chosen import Chosen
from core.concepts.full_sentences import FullSentences
from core.concepts.held_out import compare
from core.concepts.measures import AUROCS, Auroc
from core.concepts.pairs import family_codes
from core.concepts.scores import Scores, score_features
from core.stats.intervals import bootstrap_auroc
from core.study.concept_scan import RankingSettings

FEATURE = "chosen feature"
RANDOM = "random dictionary"
BASELINES = pl.Schema(
    {
        "measure": pl.String,
        "method": pl.String,
        "setting": pl.String,
        "layer": pl.Int64,
        "chosen": pl.Boolean,
        **dict.fromkeys(("auroc_selection", "auroc", "low", "high"), pl.Float64),
        **dict.fromkeys(("sentences", "families"), pl.UInt32),
    }
)
COMPARISONS = pl.Schema(
    {
        "measure": pl.String,
        "method": pl.String,
        "setting": pl.String,
        **dict.fromkeys(("difference", "low", "high", "p", "null_mean", "null_low", "null_high"), pl.Float64),
        **dict.fromkeys(("draws", "sentences"), pl.UInt32),
    }
)


@dataclass(frozen=True)
class Beside:
    """What the baselines read.

    Args:
        texts: the N sentences.
        streams: the stream at their last tokens, by layer.
        random: the same sentences with a random dictionary in each SAE's place; null leaves it out.
    """

    texts: Sequence[str]
    streams: Mapping[int, Float[np.ndarray, "N D"]]
    random: FullSentences | None


@dataclass(frozen=True)
class Readings:
    """All ways to read the concept by one contrast; `best` has the chosen setting of each method, the feature first."""

    contrast: Auroc
    every: list[Baseline]
    best: list[Baseline]


def read_all(
    sentences: FullSentences, scores: Scores, chosen: Chosen, beside: Beside, settings: RankingSettings
) -> list[Readings]:
    """Fit every baseline for both contrasts on the selection split; the feature and its random peer are the first."""
    peer = _random_peer(beside.random, settings)
    found = []
    for contrast in AUROCS:
        groups = [
            [feature_baseline(FEATURE, sentences, scores, chosen, contrast)],
            [feature_baseline(RANDOM, beside.random, *peer, contrast)] if peer and beside.random else [],
            mean_probes(sentences, beside.streams, contrast, settings.seed),
            bag_of_words(sentences, beside.texts, contrast, settings.seed),
            [length_alone(sentences, contrast)],
        ]
        every = [one for group in groups for one in group]
        found.append(Readings(contrast, every, [best_setting(group) for group in groups if group]))
    return found


def feature_baseline(
    method: str, sentences: FullSentences, scores: Scores, chosen: Chosen, contrast: Auroc
) -> Baseline:
    """The first chosen feature in the direction it was chosen in."""
    own = sentences.features(chosen.columns[:1])
    sign = -1.0 if chosen.effects[0] < 0 else 1.0
    area = contrast.null + sign * float(scores.measured[contrast.name].effects()[chosen.place[0]])
    setting = f"feature {own.columns.feature[0]} of {own.columns.saes()[0]}"
    return Baseline(method, setting, None, area, sign * own.active.toarray()[:, 0].astype(np.float64))


def _random_peer(random: FullSentences | None, settings: RankingSettings) -> tuple[Scores, Chosen] | None:
    if random is None:
        return None
    scores = score_features(random.selection, settings.min_support)
    return (scores, Chosen.of(scores, settings.by, 1)) if scores.tested.size else None


def baseline_table(sentences: FullSentences, readings: Sequence[Readings], settings: RankingSettings) -> pl.DataFrame:
    """Rows of `BASELINES`: AUROC on held-out sentences with its interval over families.

    `chosen` marks the setting of each method that the selection split chooses.
    """
    rows = []
    for reading in readings:
        for one in reading.every:
            scored = _scored(sentences, reading.contrast, one)
            area = bootstrap_auroc(*scored[:2], settings.bootstrap, settings.seed, family_codes(scored[2]))
            row: dict[str, object] = {
                "measure": reading.contrast.name,
                "method": one.method,
                "setting": one.setting,
                "layer": one.layer,
            }
            row |= {"chosen": one in reading.best, "auroc_selection": one.auroc_selection, "auroc": area.mean}
            row |= {"low": area.low, "high": area.high, "sentences": len(scored[0])}
            rows.append(row | {"families": np.unique(scored[2]).size})
    return pl.DataFrame(rows, schema=BASELINES)


def comparison_table(sentences: FullSentences, readings: Sequence[Readings], settings: RankingSettings) -> pl.DataFrame:
    """Rows of `COMPARISONS`: held-out AUROC of the chosen feature less that of each baseline's chosen setting."""
    rows = [row for reading in readings for row in _comparisons(sentences, reading, settings)]
    return pl.DataFrame(rows, schema=COMPARISONS)


def _comparisons(sentences: FullSentences, reading: Readings, settings: RankingSettings) -> Iterator[dict[str, object]]:
    first, positive, families = _scored(sentences, reading.contrast, reading.best[0])
    draws = (settings.bootstrap, settings.permutations, settings.seed)
    for one in reading.best[1:]:
        found = compare(first, _scored(sentences, reading.contrast, one)[0], positive, families, draws)
        yield {
            "measure": reading.contrast.name,
            "method": one.method,
            "setting": one.setting,
            "difference": found.difference.mean,
            "low": found.difference.low,
            "high": found.difference.high,
            "p": found.p,
            "null_mean": found.null_mean,
            "null_low": found.null_low,
            "null_high": found.null_high,
            "draws": found.draws,
            "sentences": len(positive),
        }


def _scored(
    sentences: FullSentences, contrast: Auroc, one: Baseline
) -> tuple[Float[np.ndarray, " n"], np.ndarray, np.ndarray]:
    """Scores, sides and families of the held-out sentences that the contrast uses."""
    used = sentences.is_held_out & contrast.uses(sentences.labels)
    return one.scores[used], contrast.classes(sentences.labels[used]), sentences.families[used]
