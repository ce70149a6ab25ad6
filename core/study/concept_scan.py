"""The sections of a concept scan: labelled sentences, the SAEs that read them, and how features are ranked."""

from typing import Annotated, Literal

from pydantic import Field

from core.study import variant as names
from core.study.layers import Layers
from core.study.model import TrackingConfig
from core.study.scan import ConceptConfig
from core.study.section import Positive, Section


class FragmentConfig(Section):
    """How the sentences are run through the model."""

    max_tokens: Positive = 128
    """Longer sentences are left out, and counted."""
    checkpoint_every: Positive = 200
    """Sentences a shard: the unit of the forward passes, of retry, and the most that a killed run loses."""
    token_budget: Positive | None = None
    """Most tokens (padding included) in one forward pass; by default 4096 on a CPU, and on a GPU what its memory takes.
    Not part of the fingerprint."""


class RankingSettings(Section):
    """Which features are tested and chosen, and how many random draws are behind the numbers."""

    by: Literal["spearman", "auroc_3_0", "auroc_23_01"] = "spearman"
    """Measure whose distance from no effect on the selection split ranks the features."""
    top: Positive = 1000
    """Features that get a second look and are scored on held-out sentences."""
    min_support: Positive = 5
    """Features that fire on fewer selection sentences are not tested."""
    permutations: Annotated[int, Field(ge=200)] = 1000
    """Exchanges of labels behind each permutation test; no p is below 1 / (permutations + 1)."""
    resamples: Positive = 200
    """Bootstrap resamples of families in which all features are ranked again, for the stability of the chosen."""
    bootstrap: Positive = 1000
    """Bootstrap resamples of families for each interval."""
    seed: int = 0
    """Seed of all draws."""


class OutputConfig(Section):
    """Whether the best features, promoted, turn the model's continuation towards the concept."""

    features: Annotated[int, Field(ge=0)] = 5
    """Features that are promoted, the best ones; 0 leaves this out."""
    sentences: Positive = 20
    """Held-out sentences of each of the labels 3 and 0 that the model reads."""
    controls: Annotated[int, Field(ge=19)] = 39
    """Features that fire as often, promoted in their place: no p is below 1 / (controls + 1)."""
    bootstrap: Positive = 1000
    """Resamples and exchanges of labels."""
    seed: int = 0
    """Seed of all draws."""


class ConceptScan(ConceptConfig):
    """One concept, looked for in every feature of every SAE of a registry."""

    variant: Annotated[str, Field(pattern=r"^[^\x00-\x1f]*$")] = ""
    """What sets it apart from the scan of the same name; registry, model and `--set` fill it in."""
    registry: str | None = None
    """The SAEs: a file of deployments/sae-registries or a path, or `study:NAME` for those of a study that has run."""
    model: str | None = None
    """Folder of a transformers checkpoint, hub name, or `package:NAME`; null takes the registry's or the study's."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the forward pass."""
    layers: Layers = "all"
    """Layers whose SAEs are scanned."""
    strict: bool = False
    """Whether an SAE that cannot be used ends the scan; else it is left out and named."""
    imported: str | None = None
    """What `saeflow concept import` wrote of an older scan: the SAEs there are taken as they are and not run again."""
    precision: Literal["float16", "float32"] = "float16"
    """Precision in which activations are kept."""
    fragments: FragmentConfig = FragmentConfig()
    """Forward passes."""
    ranking: RankingSettings = RankingSettings()
    """Ranking."""
    output: OutputConfig = OutputConfig()
    """Promoted features."""
    shown: Positive = 20
    """Features in the report, the best first."""
    tracking: TrackingConfig = TrackingConfig(experiment="saeflow-concepts")
    """MLflow."""

    @property
    def title(self) -> str:
        """`aggression · registry=gemma-2-2b-res-16k`: the concept, and what sets the scan apart."""
        return names.title({"name": self.name, "variant": self.variant})

    @property
    def folder(self) -> str:
        """The same as a folder's name."""
        return f"concept-{names.folder({'name': self.name, 'variant': self.variant})}"
