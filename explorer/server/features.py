"""Features of a layer: the table of all, one of them, and those that fire on a sample."""

from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Query, Response

from explorer.reading.catalogues import CATALOGUE
from explorer.reading.library import ShownLayer
from explorer.reading.positions import positions
from explorer.reading.samples import sample_of, strongest
from explorer.reading.sorted_table import Told
from explorer.server.answers import json_answer, tag_of, unchanged
from explorer.server.pages import of_layer
from explorer.server.read_route import ReadRoute
from explorer.server.schema import Feature, Features, Top
from explorer.server.served import AskedPage, FeatureNumber, InPath

router = APIRouter(prefix="/studies/{study}/layers/{layer}", tags=["features"], route_class=ReadRoute)
Test = Annotated[str | None, Query(max_length=64, description="Of which tests `association` is the strongest.")]
Bands = Annotated[int, Query(ge=1, le=10, description="Bands of activation that examples are taken from.")]
Contexts = Annotated[int, Query(ge=0, le=20, description="Examples per band.")]


class Table(NamedTuple):
    """Which features are asked for, and in which order."""

    sort: str
    terms: tuple[str, ...]
    language: str | None
    position_set: str | None


async def _table(
    sort: Annotated[str, Query(max_length=64, description="A column; `-` before it: the largest first.")] = "feature",
    terms: Annotated[
        list[str] | None,
        Query(alias="filter", description="Terms that all hold: `density>0.01`, `label~woman`, `label`, `!label`."),
    ] = None,
    language: Test = None,
    position_set: Test = None,
) -> Table:
    return Table(sort, tuple(terms or ()), language, position_set)


@router.get("/features", response_model=Features)
def features(asked: InPath, table: Annotated[Table, Depends(_table)], page: AskedPage) -> Response:
    """The features of a layer, sorted and filtered by any statistic, label, text of a catalogue, or association."""
    shown = asked.open()
    tag = _tag(asked, shown)
    if same := unchanged(asked.request, tag):
        return same
    labels = {feature: str(change.text) for feature, change in asked.served.labels.current(shown.sae).items()}
    texts = asked.served.library.catalogues.texts(shown.study, (shown.indexed.layer,))
    told, kept = Told(labels, texts[["feature", CATALOGUE]]), shown.sorted_table(table.language, table.position_set)
    found = kept.places(told, table.terms, table.sort)
    rows = kept.rows(told, found[page.span])
    return json_answer(asked.request, of_layer(shown, total=len(found), **page._asdict(), features=rows), tag)


@router.get("/features/{feature}", response_model=Feature)
def feature(asked: InPath, feature: FeatureNumber, bands: Bands = 4, contexts: Contexts = 3) -> Response:
    """One feature: statistics, positions, neighbours, associations, label, and examples from bands of activation."""
    shown = asked.feature(feature)
    tag = _tag(asked, shown)
    if same := unchanged(asked.request, tag):
        return same
    label = asked.served.labels.current(shown.sae).get(feature)
    text = label.text if label is not None else None
    document = _document(shown, feature, (bands, contexts))
    return json_answer(asked.request, of_layer(shown, feature=feature, sae=shown.sae, label=text, **document), tag)


@router.get("/top", response_model=Top)
def top(
    asked: InPath,
    sample: Annotated[str, Query(max_length=500, description="A sample's id.")],
    segment: Annotated[str | None, Query(max_length=20, description="Only rows of: image, prompt, caption.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Features, at most.")] = 50,
) -> Response:
    """The features that fire most strongly on a sample, its picture's rows included."""
    shown = asked.open()
    tag = tag_of(shown.version)
    if same := unchanged(asked.request, tag):
        return same
    found = strongest(shown, sample_of(shown.study, sample), limit, segment)
    return json_answer(asked.request, of_layer(shown, sample=sample, features=found), tag)


def _tag(asked: InPath, shown: ShownLayer) -> str:
    return tag_of(shown.version, asked.served.labels.version(shown.sae), asked.served.library.catalogues.version())


def _document(shown: ShownLayer, number: int, examples: tuple[int, int]) -> dict[str, Any]:
    found = shown.indexed.feature(number)
    shown.count(int(found.statistics["count"]))
    return {
        "statistics": found.statistics,
        "positions": positions(shown.study, shown.indexed.layer, found).to_dicts(),
        "neighbours": found.neighbours.to_dicts(),
        "coactivation": found.coactivation.to_dicts(),
        "associations": shown.indexed.association_rows(number),
        "examples": found.example_rows(*examples) if examples[1] else [],
    }
