"""Whether promoting a feature turns the model's continuation towards a concept.

Sentences of the held-out split that show the concept (3) and that are irrelevant to it (0) are read by the model, once
as it is and once with the feature added to the stream at every token. The output score is how much more the first
become likely than the second, in nats per token. What any vector of that length does is measured by features of the
same SAE that fire as often, and are no better known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.causal.runs import TOKENS, portions
from core.concepts.designs import Design
from core.concepts.full_sentences import HELD_OUT
from core.lm.agreement import logits_of
from core.lm.loaded import LoadedModel
from core.lm.outcomes import LOGIT_BYTES, Predictions, caption_predictions
from core.lm.patched import CAPTION, TokenBatch, build_batch, clean_run, states_from
from core.lm.prompts import CaptionRequest, EncodedSample, encode_sample
from core.progress import Progress, silent
from core.stats.families import corrected_within
from core.stats.intervals import weights
from core.stats.permuted import rank_p
from core.study.concept_scan import OutputConfig

STRENGTHS = (0, 3)
"""Labels whose sentences are compared."""
OUTPUT_SCORES = pl.Schema(
    {
        "sae": pl.String,
        "feature": pl.UInt32,
        "sign": pl.Int8,
        "sentences": pl.UInt32,
        "families": pl.UInt32,
        **dict.fromkeys(("score", "low", "high", "control", "control_low", "control_high"), pl.Float64),
        "draws": pl.UInt32,
        **dict.fromkeys(("p", "q", "cost", "relative_norm"), pl.Float64),
    }
)
"""One row per feature: `score` in nats per token with its bootstrap interval over families, the same for features that
fire as often, two-sided p against them and against exchanged labels (null where there are none), q over the
features; `cost` is what irrelevant sentences lose, in nats per token, and `relative_norm` the length of what is added
over that of the stream."""


@dataclass(frozen=True)
class Promoted:
    """A feature that is promoted: `vector` is added, `controls` are what comparable features would add.

    `sign` is 1 where the feature rises with the concept, and −1 where it falls: then it is taken away.
    """

    sae: str
    feature: int
    layer: int
    sign: int
    vector: Float[Tensor, " D"]
    controls: Float[Tensor, "K D"]


class OutputRuns:
    """The sentences in batches, with the clean stream below each layer that is asked for."""

    def __init__(self, loaded: LoadedModel, sentences: pl.DataFrame) -> None:
        self._loaded = loaded
        samples = [_encoded(loaded, *row) for row in sentences.select("sentence_id", "sentence").iter_rows()]
        self.concept: Bool[np.ndarray, " N"] = sentences["label"].to_numpy() == max(STRENGTHS)
        self.families: Int[np.ndarray, " N"] = np.unique(sentences["family"].to_numpy(), return_inverse=True)[1]
        self._portions = [
            _portion(loaded, samples, some) for some in portions([len(one.ids) for one in samples], TOKENS)
        ]

    def gains(self, layer: int, vectors: Float[Tensor, "V D"]) -> tuple[Float[np.ndarray, "V N"], float]:
        """How much more likely each sentence becomes with each vector, nats per token; and the mean length of the
        stream where they are added."""
        found = np.empty((len(vectors), len(self.concept)))
        norms: list[Tensor] = []
        for rows, batch, predictions in self._portions:
            stream = clean_run(self._loaded, batch, [layer])[layer]
            reach = batch.segments == CAPTION
            norms.append(stream[reach].float().norm(dim=-1))
            clean = self._log_likelihood(batch, predictions, layer, stream)
            for number, vector in enumerate(vectors):
                patched = stream.clone()
                patched[reach] += vector.to(patched)
                found[number, rows] = self._log_likelihood(batch, predictions, layer, patched) - clean
        return found, float(torch.cat(norms).mean())

    def _log_likelihood(
        self, batch: TokenBatch, predictions: Predictions, layer: int, stream: Float[Tensor, "B T D"]
    ) -> Float[np.ndarray, " B"]:
        """Mean log p of each sentence's tokens, in nats per token."""
        states = states_from(self._loaded, batch, layer, stream)
        total, count = torch.zeros(2, len(states), dtype=torch.float64, device=states.device)
        size = max(1, LOGIT_BYTES // (4 * self._loaded.unembedding.shape[0]))
        for start in range(0, predictions.row.numel(), size):
            part = slice(start, start + size)
            row, position, token = predictions.row[part], predictions.position[part], predictions.token[part]
            scores = logits_of(self._loaded, states[row, position]).float().log_softmax(dim=-1)
            total.index_add_(0, row, scores.gather(1, token[:, None]).squeeze(1).double())
            count.index_add_(0, row, torch.ones_like(row, dtype=torch.float64))
        return np.asarray((total / count).cpu().numpy())


def chosen_sentences(sentences: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    """At most `most` held-out sentences of each label that is compared, drawn by seed."""
    held = sentences.filter(pl.col("split") == HELD_OUT)
    parts = [held.filter(pl.col("label") == label) for label in STRENGTHS]
    drawn = [part.sample(min(most, part.height), seed=seed, shuffle=True) for part in parts]
    return pl.concat(drawn).sort("sentence_id")


def output_scores(
    loaded: LoadedModel,
    sentences: pl.DataFrame,
    promoted: Sequence[Promoted],
    config: OutputConfig,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Rows of `OUTPUT_SCORES`, one a promoted feature, over `chosen_sentences`."""
    if not promoted:
        return pl.DataFrame(schema=OUTPUT_SCORES)
    runs = OutputRuns(loaded, sentences)
    rows = []
    for number, one in enumerate(promoted, start=1):
        gains, norm = runs.gains(one.layer, torch.cat([one.vector[None], one.controls]))
        rows.append(_row(one, runs, gains, config) | {"relative_norm": float(one.vector.norm()) / norm})
        progress(number, len(promoted))
    table = pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col("p").cast(pl.Float64))
    return corrected_within(table, pl.lit("")).select(OUTPUT_SCORES.names()).cast(OUTPUT_SCORES)


def _row(one: Promoted, runs: OutputRuns, gains: Float[np.ndarray, "V N"], config: OutputConfig) -> dict[str, object]:
    scores = _differences(gains, runs.concept)
    own, drawn = scores[0], scores[1:]
    low, high = _interval(gains[0], runs, config)
    ends = [float(end) for end in np.quantile(drawn, [0.025, 0.975])] if drawn.size else [None, None]
    return {
        "sae": one.sae,
        "feature": one.feature,
        "sign": one.sign,
        "sentences": len(runs.concept),
        "families": len(np.unique(runs.families)),
        "score": float(own),
        "low": low,
        "high": high,
        "control": float(drawn.mean()) if drawn.size else None,
        "control_low": ends[0],
        "control_high": ends[1],
        "draws": len(drawn),
        "p": max(rank_p(float(own), drawn), _label_p(gains, runs, config)) if drawn.size else None,
        "cost": float(-gains[0][~runs.concept].mean()),
    }


def _differences(gains: Float[np.ndarray, "V N"], concept: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " V"]:
    return np.asarray(gains[:, concept].mean(axis=1) - gains[:, ~concept].mean(axis=1))


def _interval(gains: Float[np.ndarray, " N"], runs: OutputRuns, config: OutputConfig) -> tuple[float, float]:
    """Percentile bootstrap over families; resamples that lack a label are left out."""
    counts = weights(gains.size, config.bootstrap, config.seed, runs.families).astype(np.float64)
    sides = [counts[:, side] for side in (runs.concept, ~runs.concept)]
    whole = np.all([side.sum(axis=1) > 0 for side in sides], axis=0)
    means = [
        (side[whole] @ gains[own]) / side[whole].sum(axis=1)
        for side, own in zip(sides, (runs.concept, ~runs.concept), strict=True)
    ]
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return float(low), float(high)


def _label_p(gains: Float[np.ndarray, "V N"], runs: OutputRuns, config: OutputConfig) -> float:
    """Two-sided p that what the feature does beyond its controls has nothing to do with the label: labels exchanged."""
    beyond = gains[0] - gains[1:].mean(axis=0)
    labels = runs.concept.astype(np.int64)
    exchanged = Design.of(runs.families, labels).permuted(labels, config.bootstrap, config.seed).astype(np.float64)
    ones = exchanged.sum(axis=0)
    drawn = (beyond @ exchanged) / ones - (beyond @ (1 - exchanged)) / (len(beyond) - ones)
    own = beyond[runs.concept].mean() - beyond[~runs.concept].mean()
    return float((1 + np.count_nonzero(np.abs(drawn) >= abs(own) - 1e-12)) / (1 + len(drawn)))


def _encoded(loaded: LoadedModel, sentence_id: str, sentence: str) -> EncodedSample:
    return encode_sample(loaded, CaptionRequest(sentence_id, sentence_id, "", sentence, literal=True))


def _portion(
    loaded: LoadedModel, samples: Sequence[EncodedSample], rows: list[int]
) -> tuple[list[int], TokenBatch, Predictions]:
    own = [samples[row] for row in rows]
    return rows, build_batch(loaded, own), caption_predictions(own, [()] * len(own), loaded.device)
