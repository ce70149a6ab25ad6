"""The units that give each layer its SAE: trained, made by someone else, or chosen among several."""

from collections.abc import Iterator

from core.errors import BadInput
from core.planning.naming import FROZEN, Inputs, Naming, is_frozen
from core.planning.study import Study
from core.store.steps import CHOOSE_SAE, EXTRACT_LAYER, IMPORT_SAE, TRAIN_SAE
from core.store.units import Unit
from core.study.sae import SAEConfig
from core.study.sites import extent

_SPEED = {"checkpoint_every"}
"""What decides how fast, not what comes out: left out of every recipe."""
_REVISED = {"jumprelu": 2}
"""Architectures that train otherwise than when the step's version was given: the others' SAEs stay what they are."""


def train_sae(naming: Naming) -> Iterator[Unit]:
    """One unit per layer and variant, and then the same with frozen decoders where the study wants them.

    Raises:
        BadInput: more features are to be active than there are.
    """
    _refuse_too_dense(naming)
    for layer in naming.layers:
        for name, config in naming.study.sae.variants().items():
            yield _trained(naming, layer, f"{layer}-{name}" if name else str(layer), config)
    for layer in naming.layers if naming.study.sae.frozen else ():
        for name, config in naming.study.sae.variants().items():
            frozen = config.model_copy(update={"frozen_decoder": True})
            yield _trained(naming, layer, f"{layer}-{name}{FROZEN}" if name else f"{layer}{FROZEN}", frozen)


def _trained(naming: Naming, layer: int, label: str, config: SAEConfig) -> Unit:
    recipe = {"layer": layer, "sae": config.model_dump(mode="json", exclude=_SPEED)}
    if config.architecture in _REVISED:
        recipe["architecture_version"] = _REVISED[config.architecture]
    knobs = {"checkpoint_every": naming.study.sae.checkpoint_every}
    return TRAIN_SAE.unit(label, recipe, _rows(naming, layer), knobs)


def _rows(naming: Naming, layer: int) -> Inputs:
    table = naming.of_layer(EXTRACT_LAYER, layer)
    return {"layer": (table.artifact,), "samples": naming.samples, **table.inputs}


def _refuse_too_dense(naming: Naming) -> None:
    made = naming.sources.precomputed
    d_model = made.d_model if made else extent(naming.shape, naming.study.capture.site).width
    for config in naming.study.sae.variants().values():
        features = config.expansion * d_model
        if config.k > features and config.l1_coefficient is None:
            raise BadInput(f"sae.k: {config.k} exceeds the {features} features of sae.expansion {config.expansion}")


def siblings(study: Study) -> dict[str, str]:
    """By the name of a variant, the one that is trained alike from the next seed; none where there is one seed."""
    seeds = study.sae.seed
    several = tuple(dict.fromkeys(seeds)) if isinstance(seeds, tuple) else ()
    variants = study.sae.variants() if len(several) > 1 else {}
    following = dict(zip(several, (*several[1:], *several[:1]), strict=True))
    alike = {config.model_dump_json(): name for name, config in variants.items()}
    return {
        name: alike[config.model_copy(update={"seed": following[config.seed]}).model_dump_json()]
        for name, config in variants.items()
    }


def trained_of(naming: Naming, layer: int) -> tuple[Unit, ...]:
    """A layer's trained SAEs, in the order of the variants; frozen dictionaries are not among them."""
    names = [f"{layer}-{name}" if name else str(layer) for name in naming.study.sae.variants()]
    return tuple(naming.named(TRAIN_SAE, name) for name in names)


def import_sae(naming: Naming) -> Iterator[Unit]:
    """One unit per layer and field: someone else's SAE, measured on the rows that ours is trained on."""
    rows = naming.study.sae.model_dump(mode="json", include={"image_share", "max_rows", "seed"})
    rows["seed"] = rows["seed"][0] if isinstance(rows["seed"], list) else rows["seed"]
    for field in ("pretrained", "beside"):
        for layer, source in naming.sources.saes.get(field, {}).items():
            was = source.trained
            trained = {
                "model": was.model,
                "hook": was.hook,
                "differs": list(was.differs),
                "other_model": was.other_model,
            }
            recipe = {"layer": layer, "rows": rows, "content": source.content, "trained": trained}
            name = f"{layer}-beside" if field == "beside" else str(layer)
            yield IMPORT_SAE.unit(name, recipe, _rows(naming, layer), {"folder": str(source.folder)})


def choose_sae(naming: Naming) -> Iterator[Unit]:
    """A unit a layer that takes the chosen variant's SAE over, and one its frozen dictionary where there is one; none
    where there is nothing to choose."""
    variants = list(naming.study.sae.variants())
    if len(variants) < 2:
        return
    # Layer by layer, each in the variants' order.
    trained = naming.of(TRAIN_SAE)
    inputs = {"candidates": tuple(unit.artifact for unit in trained if not is_frozen(unit))}
    frozen = tuple(unit.artifact for unit in trained if is_frozen(unit))
    recipes = [
        {"layer": layer, "place": place, "variants": variants, "choose": naming.study.sae.choose}
        for place, layer in enumerate(naming.layers)
    ]
    for recipe in recipes:
        yield CHOOSE_SAE.unit(str(recipe["layer"]), recipe, inputs)
    for recipe in recipes if frozen else ():
        yield CHOOSE_SAE.unit(f"{recipe['layer']}{FROZEN}", recipe, {**inputs, "frozen": frozen})
