"""The units that read features: each layer's index, the analyses, and the report."""

from collections.abc import Iterator, Sequence
from typing import Any

from core.analysis.declaration import Analysis
from core.analysis.registry import declared, foreign
from core.data.known_concepts import is_built_in
from core.errors import BadInput
from core.planning.builders.rows import CAPTURE_SPEED
from core.planning.builders.saes import siblings, trained_of
from core.planning.left_out import lacks_head
from core.planning.naming import Dictionary, Inputs, Naming, concept_recipe, is_beside, is_frozen, model_recipe
from core.planning.steps import ANALYSES
from core.store.steps import (
    CHOOSE_SAE,
    DESCRIBE_FEATURES,
    EXTRACT_LAYER,
    IMPORT_SAE,
    INDEX_FEATURES,
    RANK_FEATURES,
    REPORT,
    TRAIN_SAE,
)
from core.store.units import Unit
from core.study.concept import StudiedConcept
from core.study.variant import without_places


def index_features(naming: Naming) -> Iterator[Unit]:
    """One unit per layer, the index of its SAE's features, and one of its frozen dictionary where there is one."""
    for one in naming.dictionaries:
        table = naming.of_layer(EXTRACT_LAYER, one.layer)
        recipe = {**one.recipe, "index": naming.study.index.model_dump(mode="json")}
        inputs = {"layer": (table.artifact,), "sae": (one.sae.artifact,), "samples": naming.samples}
        yield INDEX_FEATURES.unit(one.name, recipe, {**inputs, **table.inputs})


def rank_features(naming: Naming) -> Iterator[Unit]:
    """One unit per concept and layer that an analysis reads: its features ranked by the concept, and their profile."""
    for concept in naming.concepts:
        wanted = {layer for one in analyses_run(naming, concept) for layer in analysis_layers(naming, one)}
        for layer in sorted(wanted):
            yield rank_unit(naming, layer, concept)


def rank_unit(naming: Naming, layer: int, concept: StudiedConcept) -> Unit:
    """One layer's features, ranked by a concept."""
    recipe = {"layer": layer, "concept": concept_recipe(concept)}
    inputs = {**_of_index(naming, Dictionary(layer, naming.sae(layer))), "samples": naming.samples}
    return RANK_FEATURES.unit(naming.named_for(str(layer), concept), recipe, inputs)


def describe_features(naming: Naming) -> Iterator[Unit]:
    """One unit an index: what is known of all its features beside it."""
    for one in naming.dictionaries:
        yield describe_unit(naming, one)


def describe_unit(naming: Naming, one: Dictionary) -> Unit:
    """A dictionary's features, described; by the model's vocabulary head too, where that reads what the SAE writes."""
    recipe = one.recipe
    if not lacks_head(naming.study, naming.sources, naming.shape):
        recipe["model"] = model_recipe(naming.study, naming.sources)
    return DESCRIBE_FEATURES.unit(one.name, recipe, _of_index(naming, one))


def _of_index(naming: Naming, one: Dictionary) -> Inputs:
    """A layer's table and shards, and a dictionary of it with its index."""
    index, table = naming.named(INDEX_FEATURES, one.name), naming.of_layer(EXTRACT_LAYER, one.layer)
    own = {"layer": (table.artifact,), "sae": (one.sae.artifact,), "index": (index.artifact,)}
    return {**own, "shards": naming.shards}


def analyses_run(naming: Naming, concept: StudiedConcept) -> list[Analysis]:
    """The analyses that the study runs for a concept."""
    return [
        analysis
        for name, analysis in declared().items()
        if name not in naming.left_out[concept.name] and getattr(naming.study.analyses, name) is not None
    ]


def analyses(naming: Naming) -> Iterator[Unit]:
    """One unit per concept and analysis that the study runs.

    Raises:
        BadInput: an analysis asks for a layer that is not captured.
    """
    for concept in naming.concepts:
        for analysis in analyses_run(naming, concept):
            yield analysis_unit(naming, analysis, analysis_layers(naming, analysis), concept)


def analysis_unit(naming: Naming, analysis: Analysis, layers: Sequence[int], concept: StudiedConcept) -> Unit:
    """An analysis of some layers, whose features are ranked by a concept."""
    ranked = [rank_unit(naming, layer, concept).artifact for layer in layers]
    config = {**getattr(naming.study.analyses, analysis.name).model_dump(mode="json")}
    read = {"layer": layers[0], "layers": list(layers)}
    config |= {field: value for field, value in read.items() if field in config}
    recipe: dict[str, Any] = {"config": config, "layers": list(layers), "seed": naming.study.seed}
    recipe["model"] = model_recipe(naming.study, naming.sources)
    if not is_built_in(concept):
        recipe["concept"] = concept_recipe(concept)
    if analysis.distribution is not None:
        recipe["distribution"] = list(analysis.distribution)
    inputs = {
        "samples": naming.samples,
        "layer": tuple(naming.of_layer(EXTRACT_LAYER, layer).artifact for layer in layers),
        "sae": tuple(naming.sae(layer).artifact for layer in layers),
        "index": tuple(naming.of_layer(INDEX_FEATURES, layer).artifact for layer in layers),
        "ranked": tuple(ranked),
        "shards": naming.shards,
    }
    if analysis.beside_frozen and naming.frozen:
        frozen = [naming.frozen[naming.layers.index(layer)] for layer in layers]
        named = [Dictionary(layer, unit).name for layer, unit in zip(layers, frozen, strict=True)]
        inputs["frozen_sae"] = tuple(unit.artifact for unit in frozen)
        inputs["frozen_index"] = tuple(naming.named(INDEX_FEATURES, name).artifact for name in named)
    if analysis.beside_seed and (alike := siblings(naming.study)):
        recipe["siblings"] = alike
        inputs["seeds"] = tuple(unit.artifact for layer in layers for unit in trained_of(naming, layer))
    return ANALYSES[analysis.name].unit(naming.named_for("", concept), recipe, inputs)


def analysis_layers(naming: Naming, analysis: Analysis) -> tuple[int, ...]:
    """The layers that an analysis reads: those of its section, or all where it names none.

    Raises:
        BadInput: one is not captured.
    """
    config = getattr(naming.study.analyses, analysis.name)
    name = "layer" if hasattr(config, "layer") else "layers"
    named: Any = getattr(config, name, "all")
    if named == "all":
        return naming.layers
    wanted: Sequence[int] = (int(named),) if name == "layer" else named
    if getattr(config, name) == type(config).model_fields[name].default:  # named by nobody: what is nearest will do
        wanted = sorted({min(naming.layers, key=lambda layer: abs(layer - one)) for one in wanted})
    missing = [layer for layer in wanted if layer not in naming.layers]
    if missing:
        field, there = f"analyses.{analysis.name}.{name}", _short(naming.layers)
        raise BadInput(f"{field}: layer {missing[0]} is not among capture.layers ({there})")
    return tuple(wanted)


def _short(layers: Sequence[int]) -> str:
    if len(layers) <= 6:
        return ", ".join(map(str, layers))
    gaps = [place for place in range(1, len(layers)) if layers[place] != layers[place - 1] + 1]
    runs = [layers[start:end] for start, end in zip([0, *gaps], [*gaps, len(layers)], strict=True)]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def report(naming: Naming) -> Iterator[Unit]:
    """One unit: the report on all that the study made."""
    beside = [unit for unit in naming.of(IMPORT_SAE) if is_beside(unit)]
    trained = (unit for unit in naming.of(TRAIN_SAE) if not is_frozen(unit))
    sweep = (*trained, *beside) if naming.of(CHOOSE_SAE) or beside else ()
    units = {
        "layer": naming.of(EXTRACT_LAYER),
        "sae": naming.saes,
        "sweep": sweep,
        "frozen": naming.frozen,
        "analyses": naming.of(*ANALYSES.values()),
    }
    made = {role: tuple(unit.artifact for unit in several) for role, several in units.items() if several}
    # A unit's own name is that of whichever study made it first.
    recipe = {
        "study": told(naming),
        "skipped": dict(naming.skipped),
        "sweep": ["beside" if is_beside(unit) else unit.name.partition("-")[2] or "trained" for unit in sweep],
    }
    yield REPORT.unit("", recipe, {"samples": naming.samples, **made})


def told(naming: Naming) -> dict[str, Any]:
    """The study as its report tells it: without places (what lies there is hashed in the inputs), without what only
    decides how fast, and without packages' analyses that it does not run."""
    kept = naming.study.model_dump(mode="json", exclude={"tracking"})
    kept["variant"] = without_places(naming.study.variant)
    if not kept["variant"]:
        kept.pop("variant")
    kept["model"].pop("path")
    if naming.study.model.factory is None:
        kept["model"].pop("factory")
    kept["data"].pop("path", None)
    dropped = (CAPTURE_SPEED - {"layers"}) | {"precomputed"}
    kept["capture"] = {key: value for key, value in kept["capture"].items() if key not in dropped}
    for name in ("checkpoint_every", "pretrained", "beside"):
        kept["sae"].pop(name)
    kept["analyses"] = {k: v for k, v in kept["analyses"].items() if v is not None or k not in foreign()}
    return kept
