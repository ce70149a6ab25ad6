"""What the builders of units read: the study, what lies outside it, and the units that were named before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from core.data.known_concepts import LABEL_RULES, asked_concepts, is_built_in
from core.errors import BadInput
from core.planning.located import Shape, Sources
from core.planning.study import Study
from core.store.artifacts import Artifact
from core.store.steps import CAPTURE, CHOOSE_SAE, IMPORT_ACTIVATIONS, IMPORT_SAE, PREPARE, TRAIN_SAE, StepSpec
from core.store.units import Unit
from core.study.concept import StudiedConcept
from core.study.layers import resolve_layers
from core.study.sites import Sized, extent

Inputs = dict[str, tuple[Artifact, ...]]


FROZEN = "-frozen"


@dataclass(frozen=True)
class Dictionary:
    """A layer's SAE, or the one beside it whose decoder is frozen, as the units that read it name it."""

    layer: int
    sae: Unit

    @property
    def name(self) -> str:
        """`17`, or `17-frozen`."""
        return f"{self.layer}{FROZEN}" if is_frozen(self.sae) else str(self.layer)

    @property
    def recipe(self) -> dict[str, Any]:
        """What a unit's recipe says of it; of an SAE the layer alone, as before there were others."""
        return {"layer": self.layer, **({"frozen": True} if is_frozen(self.sae) else {})}


@dataclass(frozen=True)
class Naming:
    """A study whose units are being named.

    `layers` are those captured; `units` are by step, in the order in which builders ran; `left_out` tells why an
    analysis is left out, by concept.
    """

    study: Study
    sources: Sources
    shape: Shape
    layers: tuple[int, ...]
    left_out: Mapping[str, Mapping[str, str]]
    units: dict[str, tuple[Unit, ...]] = field(default_factory=dict)

    @property
    def concepts(self) -> tuple[StudiedConcept, ...]:
        """The concepts that are analysed, the one that is built in where the study names none."""
        return asked_concepts(self.study.concepts)

    @property
    def skipped(self) -> Mapping[str, str]:
        """Why an analysis is left out, by its name; of several concepts, for which."""
        if len(self.concepts) == 1:
            return self.left_out[self.concepts[0].name]
        return _together(self.left_out)

    def named_for(self, name: str, concept: StudiedConcept) -> str:
        """What a unit of one concept is called: by the concept, where there are several."""
        return "-".join(filter(None, (name, concept.name if len(self.concepts) > 1 else "")))

    def of(self, *steps: StepSpec) -> tuple[Unit, ...]:
        """The units of some steps."""
        return tuple(unit for spec in steps for unit in self.units.get(spec.name, ()))

    def of_layer(self, spec: StepSpec, layer: int) -> Unit:
        """The only unit of a step that is made once a layer, or once for each of its dictionaries: then the SAE's."""
        return self.named(spec, str(layer))

    def named(self, spec: StepSpec, name: str) -> Unit:
        """A step's unit of this name."""
        return next(unit for unit in self.units[spec.name] if unit.name == name)

    @property
    def samples(self) -> tuple[Artifact, ...]:
        """The prepared samples."""
        return (self.of(PREPARE)[0].artifact,)

    @property
    def shards(self) -> tuple[Artifact, ...]:
        """The artefacts that hold the rows of every layer."""
        return tuple(unit.artifact for unit in self.of(CAPTURE, IMPORT_ACTIVATIONS))

    @property
    def saes(self) -> tuple[Unit, ...]:
        """The unit that gives each layer's SAE: the chosen one where several are trained, or someone else's."""
        imported = tuple(unit for unit in self.of(IMPORT_SAE) if not is_beside(unit))
        chosen, trained = ([unit for unit in self.of(spec) if not is_frozen(unit)] for spec in (CHOOSE_SAE, TRAIN_SAE))
        return tuple(chosen or trained) or imported

    @property
    def frozen(self) -> tuple[Unit, ...]:
        """The unit that gives each layer's frozen dictionary, made as its SAE was; none where the study wants none."""
        chosen, trained = (tuple(filter(is_frozen, self.of(spec))) for spec in (CHOOSE_SAE, TRAIN_SAE))
        return chosen or trained

    @property
    def dictionaries(self) -> tuple[Dictionary, ...]:
        """Every layer's SAE, and then every layer's frozen dictionary."""
        saes = (*zip(self.layers, self.saes, strict=True), *zip(self.layers, self.frozen, strict=False))
        return tuple(Dictionary(layer, sae) for layer, sae in saes)

    def dictionaries_of(self, layer: int) -> tuple[Dictionary, ...]:
        """A layer's SAE, and its frozen dictionary where there is one."""
        return tuple(one for one in self.dictionaries if one.layer == layer)

    def sae(self, layer: int) -> Unit:
        """The unit that gives the layer's SAE."""
        return self.saes[self.layers.index(layer)]


def concept_recipe(concept: StudiedConcept) -> Any:
    """What a unit's recipe says of a concept: of the one that is built in its name, as before there were others."""
    return concept.name if is_built_in(concept) else concept.model_dump(mode="json") | LABEL_RULES


def _together(left_out: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The reasons of several concepts' analyses: one where they are the same for all."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(name for reasons in left_out.values() for name in reasons):
        reasons = {concept: own[name] for concept, own in left_out.items() if name in own}
        alike = len(reasons) == len(left_out) and len(set(reasons.values())) == 1
        told = next(iter(reasons.values()))
        found[name] = told if alike else "; ".join(f"for {concept}: {why}" for concept, why in reasons.items())
    return found


def is_frozen(unit: Unit) -> bool:
    """Whether the unit is of a dictionary with a frozen decoder."""
    return unit.name.endswith(FROZEN)


def is_beside(unit: Unit) -> bool:
    """Whether an imported SAE is only compared with the study's own."""
    return unit.name.endswith("-beside")


def layers_of(study: Study, sources: Sources, shape: Sized) -> tuple[int, ...]:
    """The layers that the study captures.

    Raises:
        BadInput: one is beyond the model, or its images are to be read and there are none.
    """
    part = extent(shape, study.capture.site)
    wanted = sources.precomputed.layers if sources.precomputed else study.capture.layers
    try:
        return resolve_layers(wanted, part.layers, "capture.layers", part.name)
    except ValueError as error:
        raise BadInput(str(error)) from error


def model_recipe(study: Study, sources: Sources) -> dict[str, Any]:
    """The weights and how they are asked; transformers' version too, for it decides masks and attention kernels."""
    if study.model.factory is not None:
        return {"factory": study.model.factory, "weights": sources.model}
    config = study.model.model_dump(mode="json", exclude={"path", "factory"})
    return {**config, "weights": sources.model, "transformers": version("transformers")}
