"""What a study's run left, by what it is: found in the manifests of the artefacts that its record names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from core.store.artifacts import Artifact, ArtifactStore, DamagedArtifact
from core.store.steps import (
    ANALYSE,
    CAPTURE,
    DESCRIBE_FEATURES,
    IMPORT_ACTIVATIONS,
    INDEX_FEATURES,
    PREPARE,
    RANK_FEATURES,
    stage_of,
)
from core.study.variant import DOT

FROZEN, FROZEN_DECODERS = "-frozen", f"{DOT}frozen decoders"
"""How key and title of a study end whose layers are its frozen dictionaries."""


@dataclass(frozen=True)
class LayerArtifacts:
    """The artefacts that one layer is read from, and what is known of its features beside the index."""

    shards: tuple[Artifact, ...]
    table: Artifact
    sae: Artifact
    index: Artifact
    ranking: Artifact | None = None
    described: Artifact | None = None

    @property
    def all(self) -> tuple[Artifact, ...]:
        """Each of them that a layer is opened with."""
        return (*self.shards, self.table, self.sae, self.index, *([self.ranking] if self.ranking else []))


class AskedOf(NamedTuple):
    """An analysis, and the name of the concept that it asked about."""

    analysis: str
    concept: str


@dataclass
class Made:
    """The artefacts of a study that are there; `frozen` holds those of its frozen dictionaries, where it has some."""

    samples: Artifact | None = None
    shards: list[Artifact] = field(default_factory=list)
    layers: dict[int, LayerArtifacts] = field(default_factory=dict)
    rankings: dict[int, Artifact] = field(default_factory=dict)
    described: dict[int, Artifact] = field(default_factory=dict)
    analyses: dict[str, Artifact] = field(default_factory=dict)
    asked: dict[str, "AskedOf"] = field(default_factory=dict)
    """What each of the analyses is, by the same names."""
    frozen: "Made | None" = None
    concept: str = ""
    """The concept that rankings are of, the study's first; results of others are called after theirs."""

    @classmethod
    def find(cls, store: ArtifactStore, artifacts: Iterable[Artifact], concept: str = "") -> "Made":
        """Sort a study's artefacts; what has no readable manifest counts as not there.

        Args:
            store: holds them.
            artifacts: those that the study's record names.
            concept: the study's first concept; none where it names none.
        """
        found = cls(concept=concept)
        for artifact in artifacts:
            try:
                unit = store.manifest(artifact)["unit"]
                found._part(unit)._add(artifact, unit)
            except (DamagedArtifact, KeyError):
                continue
        found._sort()
        if found.frozen is not None:
            found.frozen._sort()
            found.frozen.samples, found.frozen.shards = found.samples, found.shards
        return found

    def _part(self, unit: Mapping[str, Any]) -> "Made":
        """Where a unit's artefact belongs."""
        if not unit["recipe"].get("frozen"):
            return self
        self.frozen = self.frozen or Made()
        return self.frozen

    def _sort(self) -> None:
        self.layers = {
            layer: replace(parts, ranking=self.rankings.get(layer), described=self.described.get(layer))
            for layer, parts in sorted(self.layers.items())
        }

    def _add(self, artifact: Artifact, unit: Mapping[str, Any]) -> None:
        if artifact.step == PREPARE.name:
            self.samples = artifact
        elif artifact.step in (CAPTURE.name, IMPORT_ACTIVATIONS.name):
            self.shards.append(artifact)
        elif artifact.step == INDEX_FEATURES.name:
            inputs = {role: tuple(map(Artifact.from_ref, refs)) for role, refs in unit["inputs"].items()}
            parts = LayerArtifacts(inputs["shards"], inputs["layer"][0], inputs["sae"][0], artifact)
            self.layers[int(unit["recipe"]["layer"])] = parts
        elif artifact.step == RANK_FEATURES.name and self._is_first(unit):
            self.rankings[int(unit["recipe"]["layer"])] = artifact
        elif artifact.step == DESCRIBE_FEATURES.name:
            self.described[int(unit["recipe"]["layer"])] = artifact
        elif stage_of(artifact.step) == ANALYSE:
            asked = AskedOf(artifact.step, concept_name(unit["recipe"]))
            called = asked.analysis if self._is_first(unit) else "-".join(asked)
            self.analyses[called], self.asked[called] = artifact, asked

    def _is_first(self, unit: Mapping[str, Any]) -> bool:
        return not self.concept or concept_name(unit["recipe"]) == self.concept


def concept_name(recipe: Mapping[str, Any]) -> str:
    """The concept that a unit's recipe names: the one that is built in where it names none."""
    from core.data.known_concepts import THE_CONCEPT  # loads lexicons

    named = recipe.get("concept", THE_CONCEPT.name)
    return str(named["name"] if isinstance(named, Mapping) else named)
