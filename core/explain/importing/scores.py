"""Scores of explanations: raw files of single answers, and `scores.json` that sums them up per source."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from core.errors import BadInput
from core.explain.importing.layout import Source, mapping, numbered, read_json
from core.explain.tables import SCORES
from core.stats.intervals import auroc

METRICS = {"fuzz": "accuracy", "detection": "accuracy", "simulation": "correlation", "embedding": "auroc"}
"""The kinds of scorer that are read, and what their score is."""


class Score(NamedTuple):
    """The score of one explanation, null where no answer counts; answers that count, and those that failed."""

    value: float | None
    n: int
    failed: int


def read_scores(
    sources: Sequence[Source], summaries: Iterable[Path], models: Mapping[str, str], sae_id: str | None
) -> pl.DataFrame:
    """The scores of all sources, with the columns of `SCORES`, without intervals; a source's summary replaces its raw
    files.

    A score belongs to the explanations of its own source, or of the first source by the same explainer.

    Args:
        sources: folders of raw results.
        summaries: `scores.json` files, each in a folder that is called after its source.
        models: full model names by the part of a source's name (`llama_s`).
        sae_id: what the SAE is called; null takes what the source says.

    Raises:
        BadInput: a file cannot be read, or is no list of answers or no summary.
    """
    explained = [source for source in sources if numbered(source.folder / "explanations")]
    summed_up = {path.parent.name: path for path in summaries}
    records = [record for name, path in summed_up.items() for record in _of_summary(name, path, models)]
    raw = [source for source in sources if source.name not in summed_up]
    records += [record for source in raw for record in _of_source(source, models)]
    told = [record | {"explainer": _explainer(record["explainer"], explained)} for record in records]
    named = [record | {"sae_id": sae_id or record["sae_id"], "example_kind": "all"} for record in told]
    empty = {"language": None, "low": None, "high": None, "prompt_version": None}
    return pl.DataFrame([record | empty for record in named], schema=SCORES)


def _explainer(name: str, explained: Sequence[Source]) -> str:
    names = [source.name for source in explained]
    part = name.split("-")[0]
    return name if name in names else next((one.name for one in explained if one.explainer == part), name)


def _of_summary(name: str, path: Path, models: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    whole = mapping(read_json(path), path, "it")
    about = mapping(whole.get("metadata", {}), path, "'metadata'")
    parts = Source(name, path.parent)
    judge = str(about.get("llm_scorer") or models.get(parts.scorer) or parts.scorer)
    for feature, kinds in mapping(whole.get("latent_scores"), path, "'latent_scores'").items():
        for kind, told in mapping(kinds, path, f"'latent_scores' of {feature}").items():
            if kind not in METRICS:
                continue
            told = mapping(told, path, f"{kind!r} of {feature}")
            score = Score(_number(told.get("average_score")), int(told.get("success_count") or 0), 0)
            score = score._replace(failed=int(told.get("failure_count") or 0))
            if score.n or score.failed or score.value is not None:
                yield _record(path, feature, str(about.get("sae_id") or name), (name, kind, judge), score)


def _of_source(source: Source, models: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    judge = models.get(source.scorer) or str(source.config.get("scorer_model") or source.scorer)
    for kind in METRICS:
        for feature, hook, path in numbered(source.folder / "scores" / kind):
            score = raw_score(kind, path)
            yield _record(path, feature, source.sae_id(hook), (source.name, kind, judge), score)


def _record(path: Path, feature: Any, sae_id: str, of: tuple[str, str, str], score: Score) -> dict[str, Any]:
    name, kind, judge = of
    try:
        number = int(feature)
    except ValueError as error:
        raise BadInput(f"{path}: {feature!r} is no feature's number; correct the key") from error
    own = {"feature_id": number, "sae_id": sae_id, "explainer": name, "scorer": kind, "metric": METRICS[kind]}
    return own | {"value": score.value, "n": score.n, "n_failed": score.failed, "judge": judge}


def raw_score(kind: str, path: Path) -> Score:
    """The score in a raw file: the share of right answers (fuzz, detection), the mean correlation (simulation), or how
    well similarity tells active examples from silent ones (embedding, AUROC).

    An answer without its field, or with null or NaN in it, failed: it counts neither as right nor as wrong.

    Raises:
        BadInput: the file cannot be read, or is no list of answers.
    """
    answers = read_json(path)
    if not isinstance(answers, list):
        raise BadInput(f"{path}: is no list of answers; write the file again or take it away")
    told = [one for one in answers if isinstance(one, dict)]
    if kind == "embedding":
        return _separation(told, len(answers))
    if kind == "simulation":
        values = [value for one in told if (value := _number(one.get("ev_correlation_score"))) is not None]
    else:
        values = [float(one["correct"]) for one in told if isinstance(one.get("correct"), bool)]
    return Score(math.fsum(values) / len(values) if values else None, len(values), len(answers) - len(values))


def _separation(answers: Sequence[dict[str, Any]], asked: int) -> Score:
    pairs = [(_number(one.get("similarity")), _number(one.get("distance"))) for one in answers]
    known = [(similarity, distance) for similarity, distance in pairs if None not in (similarity, distance)]
    similarities = np.array([similarity for similarity, _ in known], float)
    active = np.array([distance >= 0 for _, distance in known if distance is not None], np.int64)
    both = len(np.unique(active)) == 2
    return Score(auroc(similarities, active) if both else None, len(known), asked - len(known))


def _number(value: Any) -> float | None:
    """A finite number, written as one or as text ("nan"); null for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
