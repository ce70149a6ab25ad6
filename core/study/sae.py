"""The sparse autoencoders of a study: one per layer, or one for each combination of settings and a rule that picks."""

from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from core.study.section import Positive, Section, added

Architecture = Literal["topk", "batchtopk", "matryoshka", "jumprelu", "gated", "relu"]
Rule = Literal["sparsest", "lowest_fvu"]
Rate = Annotated[float, Field(gt=0)]


class _SAESettings(Section):
    k_anneal: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the run over which k falls to its value from four times as much; 0 keeps it from the start."""
    l0_penalty: Literal["quadratic", "tanh"] = "quadratic"
    """What keeps jumprelu sparse: (L0 / k - 1)^2, or a tanh of each activation whose weight is steered to k."""
    epochs: Positive = 50
    """Passes over the training rows."""
    batch_size: Positive = 256
    """Rows a step."""
    auxk_alpha: Annotated[float, Field(ge=0)] = 1 / 32
    """Weight of the dead features' loss (Gao et al. 2024); jumprelu, where they have a threshold to pass, takes eight
    times this."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of a step's gradient of the squared error a row, rows having D for mean squared norm; null clips
    nothing, and the first steps, whose gradients are the largest, then shorten Adam's for a thousand more."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a running mean of the weights, such as 0.999, that is kept in their place; null keeps the last ones."""
    early_stop: Positive | None = None
    """Epochs without a lower FVU on the selection split after which training ends; null trains for all epochs."""
    image_share: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of image rows among the training rows; caption rows are balanced between the languages."""
    max_rows: Positive | None = None
    """Most training rows per layer, drawn by seed; null takes all."""
    checkpoint_every: Positive = 500
    """Most steps between training checkpoints (and never more than ten minutes); not part of the fingerprint."""


class SAEConfig(_SAESettings):
    """The sparse autoencoder trained on each layer (by default TopK with AuxK: Gao et al. 2024, arXiv 2406.04093)."""

    architecture: Architecture = "topk"
    """How features are chosen: the k strongest of a row (topk) or of a batch (batchtopk), of nested dictionaries
    (matryoshka), above learned thresholds (jumprelu, gated), or under an L1 penalty (relu)."""
    expansion: Positive = 8
    """Features per dimension of the stream: F = expansion · D."""
    k: Positive = 64
    """Active features per token: exactly (topk), on average (batchtopk, matryoshka), or what the penalty aims at."""
    l1_coefficient: Rate | None = added(None)
    """In place of `k`, relu alone: the L1 penalty's fixed weight λ in ‖x − x̂‖² + λ Σ f, summed over a row whose mean
    squared norm is D; null steers it towards `k`."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Adam's step; null takes sparsify's 2e-4 / sqrt(F / 2^14), the scaling of Gao et al. 2024. It warms
    up over a twentieth of the run and falls to 0 over its last fifth."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the training rows drawn, of initialisation and data order."""
    frozen_decoder: bool = added(False)
    """Keep the decoder's random unit directions as they start, and train the rest: a control, not an SAE to use."""


T = TypeVar("T")


def _several(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(values) < 2 or len(set(values)) < len(values):
        raise ValueError("a list holds two different values or more; write one value without brackets")
    return values


def _how_many(value: Any) -> str:
    return "list" if isinstance(value, list | tuple) else "one"


# Distinguished by the brackets alone, so that a wrong value is explained once.
OneOrSeveral = Annotated[
    Annotated[T, Tag("one")] | Annotated[tuple[T, ...], AfterValidator(_several), Tag("list")],
    Discriminator(_how_many),
]


def _how_told(value: Any) -> str:
    return "by_layer" if isinstance(value, Mapping) else _how_many(value)


Places = Annotated[
    Annotated[str, Tag("one")]
    | Annotated[dict[Annotated[int, Field(ge=0)], str], Tag("by_layer")]
    | Annotated[tuple[str, ...], Tag("list")],
    Discriminator(_how_told),
]
"""A pattern with `{layer}`, or the place of each layer by its number or in the order of the captured layers."""


# A variant's name tells what differs, shortly: 17-k16, 17-x4-k16.
_SHORT = {
    "architecture": "",
    "expansion": "x",
    "k": "k",
    "l1_coefficient": "l1-",
    "learning_rate": "lr",
    "seed": "seed",
}


class SAESection(_SAESettings):
    """The sparse autoencoders of a study (by default TopK with AuxK: Gao et al. 2024, arXiv 2406.04093).

    A list in place of the value of architecture, expansion, k, l1_coefficient, learning_rate or seed trains one SAE a
    layer for each combination; `choose` says which of them the analyses use.
    """

    architecture: OneOrSeveral[Architecture] = "topk"
    """How features are chosen: the k strongest of a row (topk) or of a batch (batchtopk), of nested dictionaries
    (matryoshka), above learned thresholds (jumprelu, gated), or under an L1 penalty (relu)."""
    expansion: OneOrSeveral[Positive] = 8
    """Features per dimension of the stream: F = expansion · D."""
    k: OneOrSeveral[Positive] = 64
    """Active features per token: exactly (topk), on average (batchtopk, matryoshka), or what the penalty aims at."""
    l1_coefficient: OneOrSeveral[Rate | None] = added(None)
    """In place of `k`, for architecture relu alone: the L1 penalty's fixed weight λ in ‖x − x̂‖² + λ Σ f, summed over a
    row, rows having D for mean squared norm. Exactly one of the two applies: null steers the weight towards `k`, and
    with a number `k` is not read."""
    learning_rate: OneOrSeveral[Rate | None] = None
    """Adam's step; null takes sparsify's 2e-4 / sqrt(F / 2^14), the scaling of Gao et al. 2024. It warms
    up over a twentieth of the run and falls to 0 over its last fifth."""
    seed: OneOrSeveral[Annotated[int, Field(ge=0)]] = 0
    """Seed of the training rows drawn, of initialisation and data order."""
    frozen: bool = added(False)
    """Train beside each SAE one whose decoder stays the random unit directions that it starts from (arXiv 2602.14111),
    with the same settings on the same rows, and index and describe its features too: the floor for what is said of the
    SAE's features. Training, index and descriptions then take twice the time."""
    choose: Rule = "sparsest"
    """Which of several the analyses use, the same for every layer: the sparsest of those that explain 95 % of the
    selection rows' variance that the best one explains (medians over the layers), or the one of the lowest FVU."""

    pretrained: Places | None = None
    """Folder of the SAE that each layer uses instead of training one (SAELens, sparsify, Gemma Scope 1 or 2), where
    `{layer}` stands for the layer and `*` for any characters, of which one folder alone must be found; or a mapping of
    layers to folders, or a list of one for each captured layer in ascending order. `hub:OWNER/REPO/PATH` is a folder of
    a repository in the hub's local cache (`OWNER/REPO@REVISION` of one revision)."""
    beside: Places | None = None
    """The same, for SAEs that are only measured beside the trained ones, on the same rows."""

    @field_validator("pretrained", "beside")
    @classmethod
    def _has_a_layer(cls, place: "Places | None") -> "Places | None":
        if isinstance(place, str) and "{layer}" not in place:
            raise ValueError("write {layer} where the layer's number stands, as in saes/layer_{layer}")
        if place is not None and not isinstance(place, str) and not place:
            raise ValueError("name a folder for each captured layer, as in {9: saes/a, 17: saes/b}")
        return place

    @model_validator(mode="after")
    def _are_beside_something(self) -> "SAESection":
        if self.pretrained is not None and self.beside is not None:
            raise ValueError("beside is measured beside trained SAEs, and with pretrained none is trained; give one")
        if self.pretrained is not None and self.frozen:
            raise ValueError("frozen trains beside trained SAEs, and with pretrained none is trained; leave one out")
        return self

    @model_validator(mode="after")
    def _one_of_k_and_l1(self) -> "SAESection":
        if self.l1_coefficient is None:
            return self
        if self.architecture != "relu":
            raise ValueError("l1_coefficient is the penalty of architecture relu alone; set it, or aim at k instead")
        if isinstance(self.k, tuple) or self.k_anneal:
            name = "k_anneal" if self.k_anneal else "a list of k"
            raise ValueError(f"l1_coefficient takes the place of k, so that {name} changes nothing; leave it out")
        if isinstance(self.l1_coefficient, tuple) and None in self.l1_coefficient:
            raise ValueError("l1_coefficient: null among several would aim at k; leave it out")
        return self

    def variants(self) -> Mapping[str, SAEConfig]:
        """Every combination of settings that is trained, by its name, which is empty where there is one alone."""
        if self.pretrained is not None:
            return {}
        fixed = self.model_dump(exclude={"choose", "pretrained", "beside", "frozen"})
        swept = {name: fixed[name] for name in _SHORT if isinstance(fixed.get(name), tuple)}
        found = {}
        for values in product(*swept.values()):
            mine: dict[str, Any] = dict(zip(swept, values, strict=True))
            name = "-".join(f"{_SHORT[key]}{value}" for key, value in mine.items())
            found[name] = SAEConfig.model_validate({**fixed, **mine})
        return found
