"""The answers' documents, as OpenAPI shows them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from explorer.asking.sent import SentAnswer

Rows = list[dict[str, Any]]


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Refused(BaseModel):
    """Why a request is not answered, and what to do."""

    model_config = _example(detail="feature 4096 is not there; layer 17 has features 0-127")
    detail: str


class Health(BaseModel):
    """The server is there."""

    status: str = "ok"
    version: str


class StudyEntry(BaseModel):
    """A study or variant that is shown."""

    model_config = _example(
        key="demo-04bc8ce6", name="demo", title="demo", description="", layers=[0, 17], finished=True, results=[]
    )
    key: str
    name: str
    title: str
    description: str
    layers: list[int]
    finished: bool
    results: list[str] = Field(description="The analyses whose results are there.")


class LayerEntry(BaseModel):
    """A layer: its SAE's artefact and what was measured of it."""

    layer: int
    sae: str
    metrics: dict[str, Any]


class Layers(BaseModel):
    """The layers of a study."""

    study: str
    layers: list[LayerEntry]


class OfLayer(BaseModel):
    """What is read of one layer. `version` is another once anything of the layer is."""

    study: str
    layer: int
    version: str


class Features(OfLayer):
    """A page of a layer's features."""

    total: int
    page: int
    per_page: int
    features: Rows


class Feature(OfLayer):
    """One feature: statistics, where it fires, its neighbours, how it goes with the concept, its label."""

    feature: int
    sae: str
    label: str | None
    statistics: dict[str, Any]
    positions: Rows
    neighbours: Rows
    coactivation: Rows
    associations: Rows
    examples: Rows


class Activations(OfLayer):
    """A page of the rows that a feature is active in."""

    feature: int
    total: int
    page: int
    per_page: int
    activations: Rows


class Vocabulary(OfLayer):
    """A page of the tokens that stand in the layer's rows."""

    total: int
    page: int
    per_page: int
    tokens: Rows


class SampleDocument(BaseModel):
    """A sample: captions, split and attributes; `image` is the address of its picture."""

    study: str
    sample: dict[str, Any]
    image: str | None


class Top(OfLayer):
    """The features that fire most on a sample: `max` and the token it is on, `sum` and `rows` over all its rows."""

    sample: str
    features: Rows


class LabelChange(BaseModel):
    """A label as somebody set it; no text: it was removed."""

    text: str | None
    author: str
    time: str


class Label(OfLayer):
    """A feature's label with its history, the latest change first."""

    feature: int
    sae: str
    label: str | None
    history: list[LabelChange]


class NewLabel(BaseModel):
    """A label to set."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "a woman is named", "author": "ada"}]}
    )
    text: str = Field(max_length=2000)
    author: str = Field(max_length=100)


class Labels(BaseModel):
    """The labels of a model's features, as one file."""

    format: str
    version: int
    model: str
    features: Rows


class Imported(BaseModel):
    """How many changes of labels were read, and how many of them were new."""

    read: int
    added: int


class Search(OfLayer):
    """The features that fire on a text or picture: their strongest row, and all of the text's tokens."""

    text: str
    tokens: Rows
    features: Rows


class Answered(OfLayer, SentAnswer):
    """What a question about a layer is answered: sentences, and tables with the kinds of their columns."""


class ScoreEntry(BaseModel):
    """How one scorer scored an explanation, over a kind of example and a language of the examples."""

    scorer: str
    metric: str
    example_kind: str
    language: str | None
    value: float | None
    low: float | None
    high: float | None
    chance: float | None = Field(description="What a judge reaches that knows nothing.")
    n: int
    n_failed: int = Field(description="Answers that could not be read; they count nowhere else.")
    judge: str | None


class ExplanationEntry(BaseModel):
    """What one explainer said of the feature in one language, or why it said nothing."""

    explainer: str
    explanation_method: str | None
    llm_explainer: str | None
    language: str
    text: str | None
    failure: str | None
    prompt_version: str | None
    prompt: str | None
    raw_answer: str | None
    scores: list[ScoreEntry]


class InCatalogue(BaseModel):
    """What one catalogue says of the feature."""

    catalogue: str
    explanations: list[ExplanationEntry]
    over_features: Rows = Field(description="Scores over all features of the catalogue, beside a frozen dictionary's.")


class Explanations(OfLayer):
    """What feature catalogues say of a feature; `notes` say which are not shown, and why."""

    feature: int
    sae: str
    catalogues: list[InCatalogue]
    notes: list[str]


class ExplanationHit(BaseModel):
    """An explanation that was found; `cosine` where it was found by meaning."""

    layer: int
    feature: int
    explainer: str
    language: str
    text: str
    cosine: float | None = None


class ExplanationHits(BaseModel):
    """What one catalogue has: by `meaning`, or by `words`, and then `reason` says why not by meaning."""

    catalogue: str
    study: str
    how: str
    reason: str
    found: list[ExplanationHit]


class ExplanationSearch(BaseModel):
    """Explanations that come nearest to a text, by catalogue."""

    q: str
    catalogues: list[ExplanationHits]
    notes: list[str]
