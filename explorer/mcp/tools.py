"""The tools: methods whose parameters and docstrings are what a client is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from core.errors import BadInput
from core.reading.records import opened, with_frozen
from core.reading.study import OpenedStudy
from core.store.workspace import Workspace
from explorer.asking.dossier import Asked, dossier
from explorer.asking.explained import searched
from explorer.asking.labelling import labels_of, set_label, shown
from explorer.asking.looked import Looked
from explorer.asking.questions import (
    LAST_FEATURE,
    LAST_LAYER,
    AllFeatures,
    Compare,
    Decoder,
    Explained,
    Heatmap,
    HeatmapByIntervention,
    LabelShown,
    Overview,
    Question,
    Strongest,
    Sweep,
    SweepByIntervention,
    WhatFires,
)
from explorer.mcp.answers import Dossier, StudiesFound, StudyFound, Told
from explorer.reading.explained import MOST_TEXT, Sought

Feature = Annotated[int, Field(ge=0, le=LAST_FEATURE, description="The feature's number.")]
Study = Annotated[str | None, Field(description="A study's key or name; null for the one that ran last.")]
Layer = Annotated[int | None, Field(ge=0, le=LAST_LAYER, description="The layer; null where the study has only one.")]
Language = Annotated[str | None, Field(description="Of the captions; null for the study's first.")]
Where = Annotated[str | None, Field(description="A position set, such as image or last-prompt; null for all rows.")]
Images = Annotated[int, Field(ge=2, le=400, description="Test images that are varied, one of each pair of twins.")]
Rows = Annotated[int, Field(ge=1, le=200, description="Rows of a table.")]
Attribute = Annotated[str | None, Field(description="An attribute of the samples.")]


@contextmanager
def told() -> Iterator[None]:
    """What the caller can correct becomes an error of the protocol, in one line."""
    try:
        yield
    except BadInput as error:
        raise ToolError(str(error)) from None


@dataclass(frozen=True)
class FeatureTools:
    """Looks at the features of a workspace's studies; nothing is changed but labels."""

    workspace: Workspace

    def studies(self) -> StudiesFound:
        """List the studies and variants of the workspace, the latest first; behind each its frozen dictionaries, the
        floor for what is said of its features, where it has some."""
        with told():
            every = [opened(self.workspace, record) for record in self.workspace.records()]
            return StudiesFound(studies=[_found(one) for study in every for one in with_frozen(study)])

    def overview(
        self,
        feature: Annotated[
            int | None, Field(ge=0, le=LAST_FEATURE, description="Null for a line of each feature.")
        ] = None,
        study: Study = None,
        layer: Layer = None,
        top_k: Rows = 10,
        max_examples: Annotated[int, Field(ge=1, le=20, description="Examples of each strength.")] = 3,
    ) -> Told:
        """How often and how strongly a feature fires, on what, what of the concept it goes with, and its nearest."""
        if feature is None:
            return self._told(AllFeatures(top_k=top_k), study, layer)
        return self._told(Overview(feature=feature, top_k=top_k, max_examples=max_examples), study, layer)

    def search(
        self,
        text: Annotated[str, Field(description="A caption.")],
        study: Study = None,
        layer: Layer = None,
        language: Annotated[str | None, Field(description="The caption's; null for that of its script.")] = None,
        segment: Annotated[str | None, Field(description="Only rows of: image, prompt, caption.")] = None,
        top_k: Rows = 10,
    ) -> Told:
        """Which features fire on a text, how strongly, and on which token most; the model runs."""
        return self._told(WhatFires(text=text, language=language, segment=segment, top_k=top_k), study, layer)

    def top(
        self, feature: Feature, by: Attribute = None, study: Study = None, layer: Layer = None, top_k: Rows = 10
    ) -> Told:
        """The images on which a feature fires most strongly, of each value of an attribute if one is named."""
        return self._told(Strongest(feature=feature, by=by, top_k=top_k), study, layer)

    def compare(
        self, feature: Feature, other: Feature, study: Study = None, layer: Layer = None, other_layer: Layer = None
    ) -> Told:
        """Two features beside each other: directions, rows that they share, correlation of their activations."""
        return self._told(Compare(feature=feature, other=other, other_layer=other_layer), study, layer)

    def sweep(
        self,
        feature: Feature,
        family: Attribute = None,
        study: Study = None,
        layer: Layer = None,
        language: Language = None,
        where: Where = None,
        intervene: Annotated[bool, Field(description="Vary the attribute in test images and run the model.")] = False,
        images: Images = 20,
    ) -> Told:
        """A feature's mean activation by value of an attribute, beside shuffled values.

        Observational unless `intervene` is true: then the attribute is varied and everything else is fixed.
        """
        asked: Question = Sweep(feature=feature, family=family, language=language, where=where)
        if intervene:
            asked = SweepByIntervention(feature=feature, family=family, language=language, images=images)
        return self._told(asked, study, layer)

    def vary_word(
        self,
        feature: Feature,
        word: Annotated[str, Field(description="A whole word of the captions.")],
        others: Annotated[list[str], Field(min_length=1, description="What is put in its place, one after another.")],
        study: Study = None,
        layer: Layer = None,
        language: Language = None,
        images: Images = 20,
    ) -> Told:
        """What a feature does when a word of the captions is replaced, everything else fixed; the model runs."""
        varied = tuple(others)
        asked = SweepByIntervention(feature=feature, word=word, others=varied, language=language, images=images)
        return self._told(asked, study, layer)

    def heatmap(
        self,
        feature: Feature,
        x: Annotated[str, Field(description="An attribute.")],
        y: Annotated[str, Field(description="Another attribute.")],
        study: Study = None,
        layer: Layer = None,
        language: Language = None,
        intervene: Annotated[bool, Field(description="Vary both in test images and run the model.")] = False,
        images: Images = 20,
    ) -> Told:
        """A feature's mean activation by two attributes at once; observational unless `intervene` is true."""
        asked: Question = Heatmap(feature=feature, x=x, y=y, language=language)
        if intervene:
            asked = HeatmapByIntervention(feature=feature, x=x, y=y, language=language, images=images)
        return self._told(asked, study, layer)

    def decoder(self, feature: Feature, study: Study = None, layer: Layer = None, top_k: Rows = 10) -> Told:
        """The tokens that a feature promotes and suppresses by its direct path, and the nearest decoder rows."""
        return self._told(Decoder(feature=feature, top_k=top_k), study, layer)

    def investigate(
        self,
        feature: Feature,
        study: Study = None,
        layer: Layer = None,
        language: Language = None,
        images: Images = 20,
        ablate: Annotated[bool, Field(description="Take the feature out and see what it does to the word.")] = True,
    ) -> Dossier:
        """Everything at once, as a dossier: hypotheses, evidence for and against, a proposed label. Takes minutes."""
        with told():
            return Dossier(markdown=dossier(self._at(study, layer), feature, Asked(language, images, ablate)))

    def explanations(self, feature: Feature, study: Study = None, layer: Layer = None) -> Told:
        """What feature catalogues say of a feature: texts by explainer and language, each with its scores."""
        return self._told(Explained(feature=feature), study, layer)

    def search_explanations(
        self,
        text: Annotated[str, Field(min_length=1, max_length=MOST_TEXT, description="What the explanation is about.")],
        study: Annotated[str | None, Field(description="A study's key or name; null for all.")] = None,
        layer: Annotated[int | None, Field(ge=0, le=LAST_LAYER, description="A layer; null for all.")] = None,
        top_k: Rows = 10,
    ) -> Told:
        """Which features catalogues explain as a text says: by meaning, or by words without their embedder."""
        with told():
            return Told.of(searched(self.workspace, study, layer, Sought(text, top_k)))

    def label_show(self, feature: Feature, study: Study = None, layer: Layer = None) -> Told:
        """A feature's label, and every change of it."""
        return self._told(LabelShown(feature=feature), study, layer)

    def label_set(
        self,
        feature: Feature,
        text: Annotated[str, Field(max_length=2000, description="The label; empty removes it.")],
        author: Annotated[str, Field(min_length=1, max_length=100, description="Who says so, a model by its name.")],
        study: Study = None,
        layer: Layer = None,
    ) -> Told:
        """Set a feature's label, the only thing that can be changed here; what it was stays in its history."""
        with told():
            labels, looked = labels_of(self.workspace), self._at(study, layer)
            set_label(labels, looked, feature, text or None, author)
            return Told.of(shown(labels, looked, feature))

    def _told(self, question: Question, study: str | None, layer: int | None) -> Told:
        with told():
            return Told.of(question.answer(self._at(study, layer)))

    def _at(self, study: str | None, layer: int | None) -> Looked:
        return Looked.at(self.workspace, study, layer)


def _found(study: OpenedStudy) -> StudyFound:
    languages = list(study.languages) if study.layers else []
    return StudyFound(
        key=study.key, title=study.title, layers=list(study.layers), languages=languages, finished=study.finished
    )
