"""What feature catalogues say of a feature, as pages show it: texts, scores as chips, prompts and raw answers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from core.explain.metrics import ALL, CALLED
from explorer.dashboard import words
from explorer.dashboard.grids import Grid, grid
from explorer.reading.catalogues import UNCHECKED, Catalogues, over_features, said_of, whole
from explorer.reading.library import ShownLayer

_COLUMNS = ("scorer", "metric", "kind_of_example", "examples_in", "value", "judged", "unread")
_OVER = ("explainer", "scorer", "metric", "mean", "chance", "features", "frozen", "difference", "unread")
_CHANCE = {0.0: "0", 0.5: "½"}


class Chip(NamedTuple):
    """A score over all examples: how it is read, and whether its interval lies above or below chance."""

    scorer: str
    words: str
    chance: str
    counts: str
    title: str
    css: str


class Explanation(NamedTuple):
    """What one explainer said in one language; `failure` says why there is no text."""

    by: str
    how: str
    language: str
    direction: str
    text: str | None
    failure: str
    chips: tuple[Chip, ...]
    scores: Grid | None
    prompt: str
    answer: str


class InCatalogue(NamedTuple):
    """What one catalogue says, and how many explainers said nothing; `unchecked` says why it may be of another SAE."""

    name: str
    unchecked: str
    explanations: tuple[Explanation, ...]
    failed: int
    over_features: Grid | None


class Said(NamedTuple):
    """What all catalogues say; and why some are not shown."""

    catalogues: tuple[InCatalogue, ...]
    notes: tuple[str, ...]


def said(catalogues: Catalogues, shown: ShownLayer, feature: int) -> Said:
    """What the catalogues of a layer say of a feature."""
    there = catalogues.of_layer(shown.study, shown.indexed.layer)
    found = []
    for catalogue, sae in there.found:
        explanations = tuple(map(_explanation, said_of(catalogue, sae, feature)))
        failed = sum(one.text is None for one in explanations)
        unchecked = UNCHECKED if catalogue.is_imported else ""
        found.append(InCatalogue(catalogue.name, unchecked, explanations, failed, _over(over_features(catalogue))))
    return Said(tuple(found), tuple(note for note in there.notes if not note.endswith(UNCHECKED)))


def _over(rows: Sequence[Mapping[str, Any]]) -> Grid | None:
    """Scores over all features of the catalogue: a mean with its interval, beside that of the frozen dictionary."""
    if not rows:
        return None
    table = pl.DataFrame([{**row, "metric": CALLED.get(row["metric"], row["metric"])} for row in rows])
    known = table.rename({"n": "features", "frozen_mean": "frozen", "n_failed": "unread"}, strict=False)
    columns = [name for name in _OVER if name in known.columns and not known[name].is_null().all()]
    return grid(known, tuple(columns), of="mean")


def _explanation(row: Mapping[str, Any]) -> Explanation:
    scores = row["scores"]
    method = str(row["explanation_method"] or "").replace("_", " ")
    how = (method if method != row["explainer"] else "", row["llm_explainer"])
    return Explanation(
        row["explainer"],
        ", ".join(filter(None, how)),
        row["language"],
        words.direction(row["language"]),
        row["text"],
        str(row["failure"] or ""),
        tuple(map(_chip, whole(scores))),
        _grid(scores) if len(scores) > len(whole(scores)) else None,
        str(row["prompt"] or ""),
        str(row["raw_answer"] or ""),
    )


def _chip(score: Mapping[str, Any]) -> Chip:
    chance, unread = score["chance"], score["n_failed"]
    failed = f", {unread:,} unread" if unread else ""
    judge = f"Judge: {score['judge']}. " if score["judge"] else ""
    return Chip(
        score["scorer"],
        words.interval(score),
        "" if chance is None else f"chance {_CHANCE.get(chance, words.number(chance))}",
        f"n = {score['n']:,}{failed}",
        f"{judge}{_called(score['metric'])} over {score['n']:,} examples [95 % interval over images]",
        _beside(score, chance),
    )


def _beside(score: Mapping[str, Any], chance: float | None) -> str:
    """Whether the interval leaves chance out, and on which side."""
    low, high = score["low"], score["high"]
    if None in (low, high, chance):
        return ""
    return "above" if low > chance else "below" if high < chance else ""


def _called(metric: str) -> str:
    name = CALLED.get(metric, metric.replace("_", " "))
    return name[:1].upper() + name[1:]


def _grid(scores: Sequence[Mapping[str, Any]]) -> Grid:
    rows = [
        {
            "scorer": one["scorer"],
            "metric": CALLED.get(one["metric"], one["metric"]),
            "kind_of_example": one["example_kind"].replace("_", " "),
            "examples_in": "all" if one["language"] in (ALL, None) else words.language(one["language"]),
            **{name: one[name] for name in ("value", "low", "high")},
            "judged": one["n"],
            "unread": one["n_failed"],
        }
        for one in scores
    ]
    return grid(pl.DataFrame(rows, infer_schema_length=None), _COLUMNS, of="value")
