"""How well explanations do: one module per task of a judge, one row of `SCORES` per kind of example and language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from core.chat.questions import Asked
from core.errors import BadInput
from core.explain.about import About
from core.explain.embedder import Embedder
from core.explain.examples_shown import Example, Shower, examples_by_feature, unseen
from core.explain.metrics import AUROC, BALANCED_ACCURACY, CORRELATION, SHARE
from core.explain.named import scorer_prompts, scores_by_embedding
from core.explain.scorers import detection, embedding, fuzz, intruder, simulation, twins
from core.explain.scorers.asking import Put, put_to
from core.explain.scorers.judged import JUDGED, Explained
from core.explain.scorers.measuring import Measure, accuracy, area, correlation, mean_said, measured
from core.explain.tables import SCORES
from core.explain.twins import Pair, pairs_by_feature
from core.explain.vectors import source_name
from core.progress import Progress, silent
from core.study.catalogue import Scorer

_METRICS: Mapping[str, tuple[str, Measure]] = {
    "detection": (BALANCED_ACCURACY, accuracy),
    "fuzz": (BALANCED_ACCURACY, accuracy),
    "simulation": (CORRELATION, correlation),
    "embedding": (AUROC, area),
    "intruder": (BALANCED_ACCURACY, mean_said),
    "twins": (SHARE, mean_said),
}


@dataclass(frozen=True)
class Judging:
    """Who judges: a model that is asked, or a sentence embedder; `scores_by_embedding` says which a scorer takes."""

    asked: Asked | None = None
    embedder: Embedder | None = None


def score(
    explanations: pl.DataFrame,
    windows: pl.DataFrame,
    judging: Judging,
    about: About,
    scorer: Scorer,
    progress: Progress = silent,
) -> pl.DataFrame:
    """What one scorer finds of every explanation: `SCORES`. What has no text, as a refusal, has no score.

    Args:
        explanations: `EXPLANATIONS`, of any explainers.
        windows: `WINDOWS`; only examples for scorers are looked at, and none of a prompt that an explainer saw.
        judging: who judges.
        about: samples, pictures, pairs of twins.
        scorer: its section of the catalogue.
        progress: called with questions answered.

    Raises:
        BadInput: the scorer needs what is not there.
    """
    explained = _explained(explanations)
    examples = examples_by_feature(unseen(windows), "score")
    if scores_by_embedding(scorer):
        judged = _embedded(explained, examples, judging, about, scorer)
        judge = judging.embedder.name if judging.embedder else ""
    else:
        if judging.asked is None:
            raise BadInput(f"scorers: {scorer.name}: {scorer.kind} needs a judge; name its profile or model")
        put = _questions(explained, examples, Shower(about, judging.asked.pictures), scorer)
        judged, judge = put_to(judging.asked, put, progress), judging.asked.name
    metric, measure = _METRICS[scorer.kind]
    fixed = {"sae_id": about.sae_id, "scorer": scorer.name, "metric": metric, "judge": judge}
    fixed["prompt_version"] = ", ".join(scorer_prompts(scorer))
    rows = [{**row, **fixed} for row in measured(judged, measure, about.draws, about.seed)]
    return pl.DataFrame(rows, schema=SCORES)


def _explained(explanations: pl.DataFrame) -> list[Explained]:
    source = source_name(pl.col("explainer"), pl.col("language"))
    told = explanations.filter(pl.col("text").is_not_null()).select("feature_id", source, "text")
    return [Explained(*row) for row in told.iter_rows()]


def _questions(
    explained: Sequence[Explained], examples: Mapping[int, list[Example]], shower: Shower, scorer: Scorer
) -> list[Put]:
    if scorer.kind == "twins":
        return twins.questions(explained, _pairs(shower.about, scorer), shower)
    if scorer.kind in ("detection", "fuzz"):
        ask = detection.questions if scorer.kind == "detection" else fuzz.questions
        return ask(explained, examples, shower, scorer.batch)
    return (simulation.questions if scorer.kind == "simulation" else intruder.questions)(explained, examples, shower)


def _embedded(
    explained: Sequence[Explained],
    examples: Mapping[int, list[Example]],
    judging: Judging,
    about: About,
    scorer: Scorer,
) -> pl.DataFrame:
    if judging.embedder is None:
        raise BadInput(f"scorers: {scorer.name}: {scorer.kind} without a judge needs an embedder")
    if not explained:
        return JUDGED.to_frame()
    if scorer.kind == "twins":
        return twins.compared(explained, _pairs(about, scorer), about, judging.embedder)
    return embedding.compared(explained, examples, about, judging.embedder)


def _pairs(about: About, scorer: Scorer) -> dict[int, list[Pair]]:
    if about.pairs is None:
        raise BadInput(f"scorers: {scorer.name}: there are no samples to find twins among; leave this scorer out")
    return pairs_by_feature(about.pairs)
