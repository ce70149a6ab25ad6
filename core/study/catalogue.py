"""The sections of a feature catalogue: its features, who explains them, who scores that, and embeddings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from core.study import variant as names
from core.study.language import Language
from core.study.layers import Layers
from core.study.model import TrackingConfig
from core.study.section import Positive, Section, added

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
"""Lower-case letters, digits, - and _: files and columns are called after it."""


class Budget(Section):
    """The most that one run of a catalogue may spend on a profile; what answers came before stays cached."""

    tokens: Annotated[int, Field(ge=0)] | None = None
    """Prompt and completion tokens; null is no limit."""
    money: Annotated[float, Field(ge=0)] | None = None
    """In the currency of the profile's prices; null is no limit."""


class ChatProfile(Section):
    """A chat model behind an OpenAI-compatible endpoint."""

    url: str
    """Address up to and including `/v1`."""
    model: str
    """The model's name, as the endpoint knows it."""
    key_from: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Environment variable that holds the key; null sends none. The key itself is never written down."""
    pictures: bool = False
    """Whether the model reads pictures; else it is given the sample's attributes in their place."""
    concurrency: Positive = 4
    """Questions under way at once per unit."""
    requests_per_minute: Positive | None = None
    """Most requests started per minute; null is no limit."""
    retries: Annotated[int, Field(ge=0)] = 4
    """How often a question is put again after HTTP 429 or 5xx, a time-out or a failed connection."""
    timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds until an answer is given up."""
    price_prompt: Annotated[float, Field(ge=0)] = 0.0
    """Price per million prompt tokens."""
    price_completion: Annotated[float, Field(ge=0)] = 0.0
    """Price per million completion tokens."""
    budget: Budget = Budget()
    """What one run may spend."""

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.budget.money is not None and not (self.price_prompt or self.price_completion):
            raise ValueError("budget.money counts nothing without price_prompt and price_completion; set them")
        return self


class ChosenFeatures(Section):
    """Which features of each layer are in the catalogue."""

    by: Literal["concept", "frequency", "all"] = "concept"
    """The features that go most with the study's concept, those that fire most often, or every feature that fires."""
    per_layer: Positive = 24
    """Features per layer, with `concept` and `frequency`."""
    only: dict[Annotated[int, Field(ge=0)], tuple[Annotated[int, Field(ge=0)], ...]] | None = None
    """Features by layer in place of `by`."""


class ExampleConfig(Section):
    """Which examples explainers and scorers see. No example that an explainer saw is scored."""

    quantiles: Positive = 4
    """Bands of a feature's activation, of equally many rows."""
    per_quantile: Positive = 5
    """Examples of each band for the explainer, and as many others for the scorers."""
    random: Positive = 10
    """Examples on which the feature is silent, drawn at random, for the scorers."""
    hard: Annotated[int, Field(ge=0)] = 10
    """Examples on which the feature is silent and its nearest features (by decoder or co-activation) fire, for the
    scorers."""
    window: Positive = 32
    """Tokens of an example."""
    place: Literal["symmetric", "trailing"] = "symmetric"
    """Where the strongest token lies in its window: in the middle, or at the end."""
    seed: int = 0
    """Seed of all draws."""


class Explainer(Section):
    """Who says what a feature means."""

    name: Name
    """What the explainer is called in tables."""
    kind: Literal["chat", "transformers", "promoted", "enriched_words"]
    """A chat endpoint; a local transformers model; what the feature promotes, told without a model; or the words that
    its examples have more often than others, told without a model: the floor."""
    profile: Name | None = None
    """The profile of a chat explainer."""
    model: str | None = None
    """The local model of a `transformers` explainer: folder, hub name or `package:NAME`."""
    of: Literal["examples", "promoted"] = "examples"
    """What a model is shown: where the feature fires, or the tokens that it promotes (output-centric)."""
    languages: tuple[Language, ...] = ("en",)
    """The languages in which an explanation is asked for: one explanation each."""


class Scorer(Section):
    """How an explanation is scored."""

    name: Name
    """What the scorer is called in tables."""
    kind: Literal["detection", "fuzz", "simulation", "embedding", "intruder", "twins"]
    """The task of the judge; `embedding` and `twins` with no judge compare embeddings."""
    profile: Name | None = None
    """The profile of the judge; null takes the embedder where the kind allows it."""
    model: str | None = None
    """A local transformers model as judge, in place of a profile."""
    batch: Positive = 5
    """Examples per question, with `detection` and `fuzz`."""


class EmbedderConfig(Section):
    """The sentence embedder."""

    model: str = "google/embeddinggemma-300m"
    """Folder, hub name or `package:NAME`."""
    batch: Positive = 64
    """Texts per batch."""
    int8: bool = False
    """Whether vectors are kept as one byte per dimension; recall@10 against Float32 is then measured."""


class CatalogueConfig(Section):
    """Explanations of features, their scores and embeddings, published as Parquet tables."""

    name: Name
    """The catalogue's name."""
    variant: Annotated[str, Field(pattern=r"^[^\x00-\x1f]*$")] = ""
    """What sets it apart from the catalogue of the same name; `--set` fills it in."""
    description: str = ""
    """A sentence for the report."""
    study: str = ""
    """A study that has run in the workspace, by name, key or title."""
    examples_table: Annotated[str, Field(min_length=1)] | None = added(None)
    """In place of a study: a table `activation_examples.parquet` of SAEs made elsewhere, or its folder."""
    layers: Layers = "all"
    """Its layers."""
    features: ChosenFeatures = ChosenFeatures()
    """Which features."""
    examples: ExampleConfig = ExampleConfig()
    """Examples."""
    profiles: dict[Name, ChatProfile] = Field(default_factory=dict)
    """Chat endpoints by name."""
    explainers: Annotated[tuple[Explainer, ...], Field(min_length=1)] = (
        Explainer(name="words", kind="enriched_words"),
        Explainer(name="promoted", kind="promoted"),
    )
    """Who explains."""
    scorers: tuple[Scorer, ...] = (Scorer(name="embedding", kind="embedding"),)
    """How explanations are scored."""
    embedders: dict[Name, EmbedderConfig] = Field(default_factory=lambda: {"embedder": EmbedderConfig()}, min_length=1)
    """Embedders by name; the first one is used where one is needed."""
    bootstrap: Positive = 1000
    """Resamples of features behind each interval."""
    block: Positive = 256
    """Feature numbers per unit of work: a feature that is added recomputes its block alone."""
    tracking: TrackingConfig = TrackingConfig(experiment="saeflow-catalogue")
    """MLflow."""

    @model_validator(mode="after")
    def _of_one_source(self) -> Self:
        if bool(self.study) == (self.examples_table is not None):
            fix = "leave one of them out" if self.study else "name one"
            raise ValueError(f"a catalogue is made from a study or from an examples_table; {fix}")
        return self

    @model_validator(mode="after")
    def _names(self) -> Self:
        for kind, named in (("explainers", self.explainers), ("scorers", self.scorers)):
            called = [one.name for one in named]
            if twice := sorted({name for name in called if called.count(name) > 1}):
                raise ValueError(f"{kind}: {twice[0]!r} is named twice")
        return self

    @model_validator(mode="after")
    def _profiles(self) -> Self:
        known = ", ".join(self.profiles) or "none"
        for kind, one in [("explainers", e) for e in self.explainers] + [("scorers", s) for s in self.scorers]:
            if one.profile is not None and one.profile not in self.profiles:
                raise ValueError(f"{kind}: {one.name}: there is no profile {one.profile!r} (profiles: {known})")
            if one.kind == "chat" and one.profile is None:
                raise ValueError(f"{kind}: {one.name}: a chat explainer needs a profile (profiles: {known})")
            if one.kind == "transformers" and one.model is None:
                raise ValueError(f"{kind}: {one.name}: name the local model in `model`")
        return self

    @property
    def source(self) -> str:
        """What it is made from."""
        return source_of(self.model_dump(include={"study", "examples_table"}))

    @property
    def title(self) -> str:
        """The name, and what sets the catalogue apart: `demo · features.per_layer=5`."""
        return names.title({"name": self.name, "variant": self.variant})

    @property
    def folder(self) -> str:
        """The same as a folder's name."""
        return f"catalogue-{names.folder({'name': self.name, 'variant': self.variant})}"


def source_of(catalogue: Mapping[str, Any]) -> str:
    """What a catalogue is made from, out of its fields: the study's name, or the table's with its folder."""
    return str(catalogue["study"]) or "/".join(Path(str(catalogue.get("examples_table", ""))).parts[-2:])
