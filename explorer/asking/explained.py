"""What feature catalogues say, as answers: of one feature, and of all whose explanation comes near a text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from core.explain.metrics import CALLED
from core.reading.published_catalogues import PublishedCatalogue
from core.reading.records import open_by_name, opened
from core.store.workspace import Workspace
from explorer.asking.answer import Answer
from explorer.asking.looked import Looked
from explorer.reading.catalogues import Catalogues, OfLayer, said_of, whole
from explorer.reading.explained import Sought, explanations_like

_ENDS = ("", "_low", "_high")
_HIT = {
    "layer": pl.UInt16,
    "feature": pl.UInt32,
    "explainer": pl.String,
    "language": pl.String,
    "cosine": pl.Float32,
    "explanation": pl.String,
}
_CHANCE = {0.0: "0", 0.5: "½"}


def explained(looked: Looked, feature: int) -> Answer:
    """What each catalogue of the layer says of a feature, with its scores over all examples.

    Raises:
        BadInput: there is no such feature.
    """
    looked.view.feature(feature)
    lines, tables = said(looked, feature)
    return Answer(looked.title(feature), lines or ("No catalogue explains this layer.",), tables)


def said(looked: Looked, feature: int) -> tuple[tuple[str, ...], dict[str, pl.DataFrame]]:
    """The same as sentences and tables; neither where the layer is in no catalogue."""
    there = Catalogues(looked.study.workspace).of_layer(looked.study, looked.view.layer)
    lines = [line for catalogue, sae in there.found for line in _lines(catalogue, said_of(catalogue, sae, feature))]
    return (*lines, *there.notes), dict(_tables(there, feature))


def searched(workspace: Workspace, study: str | None, layer: int | None, sought: Sought) -> Answer:
    """The features whose explanations come nearest to a text, of a study's layer, or of all.

    Raises:
        BadInput: there is no such study, or nothing is looked for.
    """
    studies = [open_by_name(workspace, study)] if study else [opened(workspace, one) for one in workspace.records()]
    hits, notes = explanations_like(Catalogues(workspace), studies, layer, sought)
    return answer_of(sought.text, [one._asdict() for one in hits], notes)


def answer_of(text: str, catalogues: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> Answer:
    """What was found, by catalogue: rows of `explorer.reading.explained.Hits`."""
    lines = [_how(one) for one in catalogues] or ["No catalogue explains the features that are looked for."]
    tables = {
        f"catalogue {one['catalogue']} of {one['study']}": _hits(one["found"]) for one in catalogues if one["found"]
    }
    return Answer(f"features explained as {' '.join(text.split())!r}", (*lines, *notes), tables)


def _how(hits: Mapping[str, Any]) -> str:
    name = f"catalogue {hits['catalogue']} of {hits['study']}"
    if hits["how"] == "meaning":
        return f"{name}: by meaning, the nearest of all explanations; the nearest need not be near"
    count = "none has" if not hits["found"] else "those shown have"
    return f"{name}: by words alone ({hits['reason']}); {count} every word of the text"


def _hits(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    told = [{**row, "cosine": row.get("cosine"), "explanation": row["text"]} for row in rows]
    table = pl.DataFrame([{name: row[name] for name in _HIT} for row in told], schema=_HIT)
    return table if table["cosine"].is_not_null().any() else table.drop("cosine")


def _lines(catalogue: PublishedCatalogue, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not rows:
        yield f"catalogue {catalogue.name}: this feature is not in it"
    chances = {(one["scorer"], one["metric"], one["chance"]) for row in rows for one in whole(row["scores"])}
    if chances:
        words = "; ".join(
            f"{scorer}: {CALLED.get(metric, metric)}, chance {_CHANCE.get(chance, chance)}"
            for scorer, metric, chance in sorted(chances)
        )
        yield f"catalogue {catalogue.name}: scores over all examples, [95 % interval over images]; {words}"
    for row in rows:
        if row["text"] is None:
            reason = row["failure"] or "no reason is known"
            yield f"catalogue {catalogue.name}: {row['explainer']} gave no explanation ({reason})"


def _tables(there: OfLayer, feature: int) -> Iterator[tuple[str, pl.DataFrame]]:
    for catalogue, sae in there.found:
        rows = [row for row in said_of(catalogue, sae, feature) if row["text"] is not None]
        if rows:
            yield f"explanations in catalogue {catalogue.name}", _table(rows)


def _table(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """A row per explanation: who says it, in which language, a column per scorer, unread answers, and the text."""
    scorers = list(dict.fromkeys(one["scorer"] for row in rows for one in whole(row["scores"])))
    columns: dict[str, Any] = {"explainer": pl.String, "language": pl.String}
    columns |= {f"{scorer}{end}": pl.Float64 for scorer in scorers for end in _ENDS}
    columns |= {"unread": pl.UInt32, "explanation": pl.String}
    return pl.DataFrame([_row(row) for row in rows], schema=columns)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    scores = whole(row["scores"])
    values = {
        f"{one['scorer']}{end}": one[name] for one in scores for end, name in zip(_ENDS, ("value", "low", "high"))
    }
    failed = sum(one["n_failed"] for one in scores)
    told = {"explainer": row["explainer"], "language": row["language"], "explanation": row["text"]}
    return {**told, **values, "unread": failed}
