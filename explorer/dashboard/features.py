"""The page of one feature, and the form that labels it."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qs

import polars as pl
from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from core.features.indexed_layer import IndexedFeature
from explorer.dashboard import evidence, links, related
from explorer.dashboard.breakdowns import OBSERVED, Breakdown, attributes, breakdown
from explorer.dashboard.charts import bars
from explorer.dashboard.counterparts import counterparts
from explorer.dashboard.explained import said
from explorer.dashboard.found import found
from explorer.dashboard.grids import grid
from explorer.dashboard.maps import Map, activation_maps, strongest_images
from explorer.dashboard.rendering import page, served_by
from explorer.dashboard.strips import Strip, strip
from explorer.labels.files import author_name, label_text
from explorer.labels.store import Labelled, model_name
from explorer.reading.library import ShownLayer
from explorer.reading.positions import positions
from explorer.reading.refusals import TOO_LARGE, Refusal
from explorer.server.served import Asked, FeatureNumber, LayerNumber, StudyName

router = APIRouter()
_ADDRESS = "/s/{study}/l/{layer}/f/{feature}"
_BANDS, _CONTEXTS, _IMAGES = 4, 4, 6
_BAND_NAMES = {4: "Strongest quarter", 3: "Second quarter", 2: "Third quarter", 1: "Weakest quarter"}
_LONGEST_FORM = 64 << 10


class AskedFor(NamedTuple):
    """What is computed of a feature only where it is asked for: a breakdown, counterparts in other languages."""

    by: str
    language: str | None
    other: bool


async def _asked_for(
    by: Annotated[str, Query(max_length=64)] = "",
    language: Annotated[str | None, Query(max_length=20)] = None,
    other: bool = False,
) -> AskedFor:
    return AskedFor(by, language, other)


class Example(NamedTuple):
    """A row on which the feature fires: its text or its place in a picture."""

    value: float
    sample: str
    image: str | None
    strip: Strip | None
    map: Map | None
    token: str


class Band(NamedTuple):
    """Examples of one strength."""

    name: str
    examples: tuple[Example, ...]


@router.get(_ADDRESS)
def feature_page(
    request: Request,
    study: StudyName,
    layer: LayerNumber,
    feature: FeatureNumber,
    asked: Annotated[AskedFor, Depends(_asked_for)],
) -> HTMLResponse:
    """Everything that is known of a feature."""
    shown = Asked(request, served_by(request), study, layer, None).feature(feature)
    own = shown.indexed.feature(feature)
    statistics = own.statistics
    shown.count(int(statistics["count"]))
    interpretation = found(shown.study, "interpretation")
    split, fault = _broken_down(shown, feature, asked.by, asked.language)
    context = {
        **identity(request, shown, feature),
        "statistics": statistics,
        "bars": bars(statistics["histogram"]),
        "bands": bands_of(shown, own, (_BANDS, _CONTEXTS)),
        "images": _images(shown, own),
        "positions": grid(
            positions(shown.study, layer, own), ("language", "position_set", "count", "density", "mean", "max")
        ),
        "described": _described(interpretation.table("described", layer=layer, feature=feature)),
        "tested": evidence.tested(shown, feature),
        "reported": evidence.reported(interpretation, layer, feature),
        "said": said(served_by(request).library.catalogues, shown, feature),
        "explained": evidence.explained(interpretation, layer, feature),
        "ways": evidence.ways(shown, interpretation, feature),
        "interpretation": interpretation,
        "ablated": evidence.ablated(shown.study, layer, feature),
        "amplified": evidence.amplified(shown.study, layer, feature),
        "neighbours": related.neighbours(shown, own),
        "partners": related.partners(shown, own),
        "matches": related.matches(shown, feature),
        "counterparts": counterparts(shown, feature) if asked.other else None,
        "attributes": attributes(shown.study),
        "split": split,
        "observed": OBSERVED,
        "fault": fault,
    }
    return page(request, "feature.html.j2", 422 if fault else 200, **context)


@router.post(f"{_ADDRESS}/label")
async def label(request: Request, study: StudyName, layer: LayerNumber, feature: FeatureNumber) -> Response:
    """Set the label that a form sends, or remove it; then show the feature again."""
    body = await request.body()
    if len(body) > _LONGEST_FORM:
        raise Refusal(TOO_LARGE, f"the form has {len(body)} bytes; send at most {_LONGEST_FORM}")
    fields = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    key = await run_in_threadpool(_set_label, Asked(request, served_by(request), study, layer, None), feature, fields)
    return RedirectResponse(f"{links.feature_at(key, layer, feature)}#label", 303)


def identity(request: Request, shown: ShownLayer, feature: int) -> dict[str, Any]:
    """Which feature a page is about: its study, layer, number, label and history, and the ones before and after."""
    history = served_by(request).labels.history(shown.sae, feature)
    last = shown.indexed.index.num_features - 1
    return {
        "study": shown.study,
        "layer": shown.indexed.layer,
        "feature": feature,
        "label": history[0].text if history else None,
        "history": history,
        "previous": feature - 1 if feature > 0 else None,
        "next": feature + 1 if feature < last else None,
        "rows_of_layer": shown.indexed.index.num_rows,
    }


def _set_label(asked: Asked, feature: int, fields: Mapping[str, str]) -> str:
    shown = asked.feature(feature)
    author = author_name(fields.get("author", ""))
    text = None if "remove" in fields else label_text(fields.get("text", ""))
    labelled = Labelled(shown.sae, feature, shown.indexed.layer, model_name(shown.study.config))
    asked.served.labels.put(labelled, text, author)
    return shown.study.key


def _broken_down(shown: ShownLayer, feature: int, by: str, language: str | None) -> tuple[Breakdown | None, str]:
    if not by:
        return None, ""
    try:
        return breakdown(shown, feature, by, language), ""
    except Refusal as refusal:
        return None, str(refusal)


def _described(table: pl.DataFrame | None) -> str:
    return str(table["in_words"][0] or "") if table is not None and "in_words" in table.columns else ""


def bands_of(shown: ShownLayer, own: IndexedFeature, most: tuple[int, int]) -> list[Band]:
    """Examples of a feature from so many bands of its activations, so many of each; the strongest band first."""
    table = own.examples(*most)
    strongest = float(own.statistics["max"] or 0)
    images = table.filter(pl.col("segment") == "image")["image_id"].unique().to_list()
    maps = activation_maps(shown, own.feature, images, strongest)
    known = _pictured(shown)
    parts = table.partition_by("quantile", as_dict=True, maintain_order=True)
    names = _BAND_NAMES if most[0] == _BANDS else {1: "Strongest"}
    return [
        Band(names[int(str(band))], tuple(_example(row, maps, known, strongest) for row in part.to_dicts()))
        for (band,), part in parts.items()
    ]


def _example(row: Mapping[str, Any], maps: Mapping[str, Map], known: frozenset[str], strongest: float) -> Example:
    image = row["image_id"] if row["image_id"] in known else None
    text = strip(row["context"], row["language"], strongest) if row["context"] else None
    return Example(
        row["value"], row["sample_id"], image, text, maps.get(row["image_id"]) if text is None else None, row["token"]
    )


def _images(shown: ShownLayer, own: IndexedFeature) -> list[Example]:
    """The pictures on which the feature fires most strongly, each with its map."""
    best = strongest_images(shown, own.feature, _IMAGES)
    maps = activation_maps(shown, own.feature, [image for image, _ in best], float(own.statistics["max"] or 0))
    known, samples = _pictured(shown), _samples(shown, [image for image, _ in best])
    return [
        Example(value, samples[image], image if image in known else None, None, maps.get(image), "")
        for image, value in best
        if image in samples
    ]


def _pictured(shown: ShownLayer) -> frozenset[str]:
    """The pictures that can be shown."""
    samples = shown.study.samples
    if "image" not in samples.columns:
        return frozenset()
    return frozenset(samples.filter(pl.col("image").is_not_null())["image_id"].to_list())


def _samples(shown: ShownLayer, images: list[str]) -> dict[str, str]:
    own = shown.study.samples.filter(pl.col("image_id").is_in(images)).unique(
        "image_id", keep="first", maintain_order=True
    )
    return {str(image): str(sample) for image, sample in own.select("image_id", "sample_id").rows()}
