"""The page of a sample: its picture, its captions, and which features of a layer fire where."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import polars as pl
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from explorer.dashboard.firing import Firing, firing
from explorer.dashboard.maps import activation_maps
from explorer.dashboard.rendering import page, served_by
from explorer.dashboard.words import direction
from explorer.reading.library import ShownLayer
from explorer.reading.samples import sample_of
from explorer.server.served import Served, StudyName

router = APIRouter()
Id = Annotated[str, Path(max_length=500)]
Layer = Annotated[int | None, Query(ge=0, lt=2**16)]
_OWN = {"sample_id", "image_id", "image"}


@router.get("/s/{study}/samples/{sample_id:path}")
def sample_page(request: Request, study: StudyName, sample_id: Id, layer: Layer = None) -> HTMLResponse:
    """A sample, with the features of a layer that fire on it."""
    served = served_by(request)
    opened = served.library.study(study)
    sample = sample_of(opened, sample_id)
    number = layer if layer is not None else _usual_layer(served, opened.layers)
    shown = None if number is None else served.library.layer(opened.key, number)
    captions = [
        (code, direction(code), sample[f"caption_{code}"])
        for code in opened.languages
        if sample.get(f"caption_{code}") is not None
    ]
    known = {name: value for name, value in sample.items() if name not in _OWN and not name.startswith("caption_")}
    return page(
        request,
        "sample.html.j2",
        study=opened,
        sample=sample,
        captions=captions,
        known={name: value for name, value in known.items() if value is not None},
        layer=number,
        found=[] if shown is None else _firing(served, shown, sample),
    )


def _usual_layer(served: Served, layers: tuple[int, ...]) -> int | None:
    """The layer that the server was started for, or else the middle one."""
    if served.layer in layers:
        return served.layer
    return layers[len(layers) // 2] if layers else None


def _firing(served: Served, shown: ShownLayer, sample: Mapping[str, Any]) -> list[Firing]:
    own = _rows(shown, sample)
    if not own.height:
        return []
    row, feature, value = shown.indexed.active(own["index"].to_numpy().astype(np.int64))
    shown.count(len(row))
    labels = {number: str(change.text) for number, change in served.labels.current(shown.sae).items()}
    found = firing(pl.DataFrame({"index": row, "feature": feature, "value": value}), own, labels)
    return [_mapped(shown, one, str(sample["image_id"])) for one in found]


def _rows(shown: ShownLayer, sample: Mapping[str, Any]) -> pl.DataFrame:
    """The rows of the sample and of its picture, without control tokens."""
    tokens = shown.indexed.tokens
    shared = pl.col("language").is_null() & (pl.col("image_id") == sample["image_id"])
    return tokens.filter(((pl.col("sample_id") == sample["sample_id"]) | shared) & ~pl.col("special"))


def _mapped(shown: ShownLayer, one: Firing, image: str) -> Firing:
    drawn = activation_maps(shown, one.feature, [image], one.strongest).get(image)
    return one._replace(map=drawn if drawn is not None and drawn.cells else None)
