"""What can be asked of features: models that travel as JSON, each of which answers itself over an opened layer."""

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from core.errors import BadInput
from core.progress import Progress, silent
from explorer.asking import looks
from explorer.asking.answer import Answer
from explorer.asking.dossier import Asked, dossier
from explorer.asking.explained import explained
from explorer.asking.labelling import labels_of, listed, shown
from explorer.asking.looked import Looked
from explorer.asking.searching import searched
from explorer.asking.varying import Plan, run_varied
from explorer.reading.refusals import UNUSABLE, Refusal
from explorer.reading.search import Question as Sought

LAST_FEATURE, LAST_LAYER = 2**31 - 1, 2**16 - 1
MOST_ROWS, MOST_EXAMPLES, MOST_IMAGES, MOST_WORDS = 10**6, 1000, 1000, 100
Feature = Annotated[int, Field(ge=0, le=LAST_FEATURE, description="A feature of the layer's SAE.", examples=[42])]
Layer = Annotated[int | None, Field(ge=0, le=LAST_LAYER, description="The other's layer; null: the same.")]
Rows = Annotated[int, Field(ge=1, le=MOST_ROWS, description="Rows of a table.")]
Images = Annotated[int, Field(ge=2, le=MOST_IMAGES, description="Test images that are varied, one of each twins.")]
Language = Annotated[str | None, Field(description="Of the captions; null: the study's first.")]
Where = Annotated[str | None, Field(description="Rows of one position set, such as image; null: all.")]
Attribute = Annotated[str | None, Field(description="An attribute of the samples.", examples=["mood"])]


class Question(BaseModel):
    """Something that can be asked of a layer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def answer(self, looked: Looked, progress: Progress = silent) -> Answer:
        """The answer; where the study's model runs, `progress` is told how far it is.

        Raises:
            BadInput: what is asked for is not there, or the study's model is needed and not there.
        """
        for name, value in self:
            for text in value if isinstance(value, tuple) else (value,):
                if isinstance(text, str):
                    _check_characters(name, text)
        return self._answer(looked, progress)

    @abstractmethod
    def _answer(self, looked: Looked, progress: Progress) -> Answer: ...


def _check_characters(name: str, text: str) -> None:
    """Make sure that a text is one: a terminal or JSON can hand in half of a character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refusal(UNUSABLE, f"{name}: holds {text[error.start]!r}, which is no character; type it again") from error


class OfFeature(Question):
    """Something that can be asked of one feature."""

    feature: Feature


class AllFeatures(Question):
    """A line for each feature of the layer, those first that go most with the concept."""

    ask: Literal["features"] = "features"
    top_k: Rows = 10

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        return looks.all_features(looked, self.top_k)


class Overview(OfFeature):
    """How often and how strongly a feature fires, on what, what of the concept it goes with, and its nearest."""

    ask: Literal["overview"] = "overview"
    top_k: Rows = 10
    max_examples: Annotated[int, Field(ge=1, le=MOST_EXAMPLES, description="Examples of each strength.")] = 3

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        return looks.one_feature(looked, self.feature, self.top_k, self.max_examples)


class Sweep(OfFeature):
    """A feature's mean activation by value of an attribute, and what each attribute explains; observational."""

    ask: Literal["sweep"] = "sweep"
    family: Attribute = None
    language: Language = None
    where: Where = None

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        return looks.swept(looked, self.feature, self.family, self.language, self.where)


class SweepByIntervention(OfFeature):
    """What varying an attribute, or a word of the captions, does to a feature, all else fixed; the model runs."""

    ask: Literal["sweep by intervention"] = "sweep by intervention"
    family: Attribute = None
    word: Annotated[str | None, Field(description="A word of the captions that is varied instead.")] = None
    others: Annotated[tuple[str, ...], Field(description="What is put in the word's place, one after another.")] = ()
    language: Language = None
    images: Images = 20

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        plan = Plan(*self._varied(), self.images, looked.language(self.language))
        return looks.swept_by_intervention(looked, self.feature, run_varied(looked, self.feature, plan, progress))

    def _varied(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The attribute, or the word and what is put in its place."""
        if (self.family is None) == (self.word is None) or (self.word is not None) != bool(self.others):
            raise BadInput(
                "--intervene: name one attribute with --family, or a word with --word and another with --with"
            )
        if len(self.others) > MOST_WORDS:
            raise Refusal(UNUSABLE, f"--with: has {len(self.others)} words; give at most {MOST_WORDS}")
        return ((self.family,), ()) if self.family is not None else ((), (str(self.word), *self.others))


class Heatmap(OfFeature):
    """A feature's mean activation by two attributes at once; observational."""

    ask: Literal["heatmap"] = "heatmap"
    x: str
    y: str
    language: Language = None
    where: Where = None

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        return looks.heat_map(looked, self.feature, self.x, self.y, self.language, self.where)


class HeatmapByIntervention(OfFeature):
    """A feature's mean activation where two attributes are varied together, all else fixed; the model runs."""

    ask: Literal["heatmap by intervention"] = "heatmap by intervention"
    x: str
    y: str
    language: Language = None
    images: Images = 20

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        plan = Plan((self.x, self.y), (), self.images, looked.language(self.language))
        return looks.heat_map_by_intervention(looked, self.feature, run_varied(looked, self.feature, plan, progress))


class Strongest(OfFeature):
    """The images on which a feature fires most strongly, of each value of an attribute if one is named."""

    ask: Literal["top"] = "top"
    by: Attribute = None
    top_k: Rows = 10

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        return looks.strongest(looked, self.feature, self.by, self.top_k)


class Decoder(OfFeature):
    """The tokens that a feature promotes and suppresses by its direct path, and the nearest decoder rows."""

    ask: Literal["decoder"] = "decoder"
    top_k: Rows = 10

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        return looks.decoded(looked, self.feature, self.top_k)


class Compare(OfFeature):
    """Two features beside each other: how alike their directions are, and how often they fire together."""

    ask: Literal["compare"] = "compare"
    other: Feature
    other_layer: Layer = None

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        beside = looked if self.other_layer is None else looked.beside(self.other_layer)
        return looks.side_by_side(looked, self.feature, beside, self.other)


class WhatFires(Question):
    """Which features fire on a text, a picture, or both; the model runs."""

    ask: Literal["search"] = "search"
    text: Annotated[str, Field(description="A caption.", examples=["a woman sings"])] = ""
    language: Annotated[str | None, Field(description="The caption's; null: that of its script.")] = None
    segment: Annotated[str | None, Field(description="Only rows of: image, prompt, caption.")] = None
    picture: Annotated[Base64Bytes | None, Field(description="A picture's file in base64.")] = None
    top_k: Rows = 10

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        sought = Sought(self.text, self.language, self.picture)
        return searched(labels_of(looked.study.workspace), looked, sought, self.segment, self.top_k)


class Explained(OfFeature):
    """What feature catalogues say of a feature, with the scores of each explanation."""

    ask: Literal["explanations"] = "explanations"

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        return explained(looked, self.feature)


class Investigate(OfFeature):
    """All of this as a dossier in Markdown, the answer's only line; the model runs for minutes."""

    ask: Literal["investigate"] = "investigate"
    language: Language = None
    images: Images = 20
    ablate: Annotated[bool, Field(description="Take the feature out and see what it does to the word.")] = True

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        text = dossier(looked, self.feature, Asked(self.language, self.images, self.ablate))
        return Answer(looked.title(self.feature), (text,))


class LabelShown(OfFeature):
    """A feature's label, and every change of it."""

    ask: Literal["label"] = "label"

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        return shown(labels_of(looked.study.workspace), looked, self.feature)


class LabelsListed(Question):
    """The labels of a layer's features."""

    ask: Literal["labels"] = "labels"

    def _answer(self, looked: Looked, progress: Progress) -> Answer:
        return listed(labels_of(looked.study.workspace), looked)


AnyQuestion = Annotated[
    AllFeatures
    | Overview
    | Sweep
    | SweepByIntervention
    | Heatmap
    | HeatmapByIntervention
    | Strongest
    | Decoder
    | Compare
    | WhatFires
    | Explained
    | Investigate
    | LabelShown
    | LabelsListed,
    Field(discriminator="ask"),
]
"""Any of them; `ask` says which."""
