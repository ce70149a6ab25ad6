"""Two features, layers or studies beside each other."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from core.errors import BadInput
from core.reading.comparison import Comparison, Row, Side, Value, compare
from core.reading.study import OpenedStudy
from explorer.dashboard import evidence, words
from explorer.dashboard.charts import bars
from explorer.dashboard.explained import said
from explorer.dashboard.features import bands_of, identity
from explorer.dashboard.found import found
from explorer.dashboard.rendering import page, served_by, spoken_of
from explorer.reading.library import ShownLayer
from explorer.reading.refusals import CONFLICT, NOT_THERE, WRONG, Refusal
from explorer.server.served import Asked, Served

router = APIRouter()
Key = Annotated[str, Query(max_length=400)]
_CONTEXTS = 3


class Named(NamedTuple):
    """What a key names: a study, a layer of it, or a feature of that."""

    study: OpenedStudy
    layer: int | None
    feature: int | None


class Together(NamedTuple):
    """How alike two features are, in words; or why that cannot be said."""

    rows: tuple[tuple[str, str], ...]
    reason: str = ""


@router.get("/compare")
def compare_page(request: Request, a: Key = "", b: Key = "") -> HTMLResponse:
    """Two of `study`, `study:layer` or `study:layer:feature` beside each other."""
    served = served_by(request)
    context: dict[str, Any] = {"a": a, "b": b, "studies": served.library.studies(), "fault": "", "status": 200}
    try:
        context |= _compared(request, a.strip(), b.strip())
    except BadInput as refusal:
        context |= {"kind": "", "fault": str(refusal)}
        context["status"] = refusal.status if isinstance(refusal, Refusal) else CONFLICT
    return page(request, "compare.html.j2", **context)


def _compared(request: Request, a: str, b: str) -> Mapping[str, Any]:
    served = served_by(request)
    sides = [_named(served, key) for key in (a, b) if key]
    if len(sides) < 2:
        return {"kind": "", "waiting": sides}
    if all(side.feature is not None for side in sides):
        shown = [_feature(request, side) for side in sides]
        return {"kind": "features", "sides": [side for _, side in shown], "together": _together(sides)}
    if any(side.feature is not None for side in sides):
        raise Refusal(WRONG, "a feature is compared to a feature; name two features, or two studies or layers")
    found_rows = compare(*(Side(side.study, side.layer) for side in sides))
    return {"kind": "studies", "compared": found_rows, "rows": _groups(found_rows), "settings": _settings(found_rows)}


def _named(served: Served, key: str) -> Named:
    """What a key names; a study whose name holds colons is asked for by its key.

    Raises:
        Refusal: it names nothing that is shown.
    """
    parts = key.split(":")
    numbers: list[int] = []
    while len(parts) > 1 and len(numbers) < 2 and parts[-1].strip().isdecimal():
        numbers.insert(0, int(parts.pop()))
    study = served.library.study(":".join(parts).strip())
    layer = numbers[0] if numbers else study.of_layer
    if layer is not None and layer not in study.layers:
        there = ", ".join(map(str, study.layers)) or "none"
        raise Refusal(NOT_THERE, f"layer {layer} of {study.title} is not there; name one of {there}")
    return Named(study, layer, numbers[1] if len(numbers) > 1 else None)


def _feature(request: Request, side: Named) -> tuple[ShownLayer, Mapping[str, Any]]:
    asked = Asked(request, served_by(request), side.study.key, side.layer, None)
    number = int(side.feature or 0)
    shown = asked.feature(number)
    own = shown.indexed.feature(number)
    statistics = own.statistics
    shown.count(int(statistics["count"]))
    interpretation = found(shown.study, "interpretation")
    return shown, {
        **identity(request, shown, number),
        "statistics": statistics,
        "bars": bars(statistics["histogram"]),
        "bands": bands_of(shown, own, (1, _CONTEXTS)),
        "tested": evidence.tested(shown, number),
        "said": said(served_by(request).library.catalogues, shown, number),
        "ways": evidence.ways(shown, interpretation, number),
        "concept": spoken_of(shown.study).name,
    }


def _together(sides: list[Named]) -> Together:
    """Numbers of the pair: they need the rows and decoders of both, which are of one study."""
    one, other = sides
    if one.study.key != other.study.key:  # one that was opened again in between is another object
        return Together(
            (), "Features of two studies share no rows: only what each is by itself stands beside the other."
        )
    from core.features.pair import together  # PyTorch: other pages need not wait for it

    try:
        views = [side.study.layer(int(side.layer or 0)) for side in sides]
        pair = together(views[0], int(one.feature or 0), views[1], int(other.feature or 0))
    except BadInput as error:
        return Together((), str(error))
    return Together(
        (
            ("Cosine of the decoder rows", words.number(pair.cosine)),
            ("Correlation of the activations over rows", words.number(pair.correlation)),
            ("Rows in which both fire", words.number(pair.both)),
            ("Rows in which one or both fire", words.number(pair.either)),
            ("Jaccard index", words.number(pair.jaccard)),
        )
    )


def _groups(compared: Comparison) -> dict[str, list[dict[str, str]]]:
    """The rows by analysis, with the concept's name where there are several; those that answer its question first."""
    groups: dict[str, list[dict[str, str]]] = {}
    for row in compared.rows:
        of = f" of {row.concept}" if row.concept and len(compared.concepts) > 1 else ""
        groups.setdefault(row.analysis + of, []).append(_row(row))
    return groups


def _row(row: Row) -> dict[str, str]:
    overlap = {True: "overlap", False: "apart", None: ""}[row.overlap]
    quantity = f"{row.quantity} ({row.name})" if row.analysis != "sae" else row.quantity
    return {"quantity": quantity, "left": _value(row.left), "right": _value(row.right), "intervals": overlap}


def _value(value: Value | None) -> str:
    if value is None:
        return "–"
    shown = words.interval({"value": value.value, "low": value.low, "high": value.high})
    return shown if value.verdict == "not tested" else f"{shown}, {value.verdict}"


def _settings(compared: Comparison) -> list[tuple[str, str, str]]:
    return [(name, _said(left), _said(right)) for name, (left, right) in sorted(compared.settings.items())]


def _said(value: Any) -> str:
    return "–" if value is None else str(value)[:300]
