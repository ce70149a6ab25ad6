"""Every unit of a study, with its fingerprint, before any of it runs.

A unit's fingerprint depends on its recipe and its inputs' fingerprints alone, so the whole graph follows from the
study, the content of its sources, and (once prepared) the number of images.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import BadInput
from core.left_out import left_out
from core.plan_capture import CAPTURE_SPEED, capture_units, layers_of, model_recipe
from core.steps import (
    ANALYSES,
    CHOOSE_SAE,
    CONVERT_MODEL,
    EXTRACT_LAYER,
    IMPORT_SAE,
    INDEX_FEATURES,
    PREPARE,
    REPORT,
    TRAIN_SAE,
    StepSpec,
)
from core.study import Study
from core.study.sites import extent
from core.units import Roots, Shape, Sources, Unit

# What decides how fast, not what comes out: left out of every recipe.
_SAE_SPEED = {"checkpoint_every"}


@dataclass(frozen=True)
class Plan:
    """Every unit of a study, stage by stage."""

    study: Study
    roots: Roots
    capture: tuple[Unit, ...]
    layers: tuple[int, ...]
    extract_layer: tuple[Unit, ...]
    train_sae: tuple[Unit, ...]
    import_sae: tuple[Unit, ...]
    choose_sae: tuple[Unit, ...]
    index_features: tuple[Unit, ...]
    analyses: tuple[Unit, ...]
    report: Unit
    skipped: Mapping[str, str]

    @property
    def key(self) -> str:
        """The study's name and a part of its report's fingerprint: one a variant of the study."""
        return f"{self.study.name}-{self.report.artifact.fingerprint[:8]}"

    @property
    def stages(self) -> dict[str, tuple[Unit, ...]]:
        """The units by stage, in the order in which stages run; ways to an SAE that the study does not take are left
        out."""
        convert = (self.roots.convert_model,) if self.roots.convert_model else ()
        stages = {
            "prepare": (self.roots.prepare, *convert),
            "capture": self.capture,
            "extract_layer": self.extract_layer,
            "train_sae": self.train_sae,
            "import_sae": self.import_sae,
            "choose_sae": self.choose_sae,
            "index_features": self.index_features,
            "analyse": self.analyses,
            "report": (self.report,),
        }
        optional = ("train_sae", "import_sae", "choose_sae")
        return {name: units for name, units in stages.items() if units or name not in optional}

    @property
    def saes(self) -> tuple[Unit, ...]:
        """The unit that makes each layer's SAE: the chosen one where several are trained, or someone else's."""
        return self.choose_sae or self.train_sae or self.import_sae

    def __iter__(self) -> Iterator[Unit]:
        for units in self.stages.values():
            yield from units


def plan_roots(study: Study, sources: Sources) -> Roots:
    """The units that need no other unit's output to be named."""
    data = study.data.model_dump(mode="json", exclude={"path"})
    path = getattr(study.data, "path", None)
    knobs = {"path": path} if path else {}
    prepare = Unit(PREPARE.name, "", {"data": data, "content": sources.data}, knobs=knobs)
    if sources.package is None:
        return Roots(prepare, None)
    return Roots(prepare, Unit(CONVERT_MODEL.name, "", {"package": sources.package, "content": sources.model}))


def plan_study(study: Study, sources: Sources, shape: Shape) -> Plan:
    """Name every unit of the study.

    Raises:
        BadInput: a layer is beyond the model, or an analysis asks for a layer that is not captured.
    """
    roots = plan_roots(study, sources)
    if study.model.factory is not None and study.capture.nonfinite == "recompute":
        raise BadInput("capture.nonfinite: recompute opens a checkpoint again; with model.factory use fail or drop")
    layers = layers_of(study, sources, shape)
    capture = tuple(capture_units(study, sources, roots, shape, layers))
    extract = tuple(_extract_unit(study, layer, capture) for layer in layers)
    train = tuple(
        unit for layer, table in zip(layers, extract, strict=True) for unit in _train_units(study, layer, table, roots)
    )
    made = sources.precomputed
    _refuse_too_dense(study, made.d_model if made else extent(shape, study.capture.site).width)
    tables = dict(zip(layers, extract, strict=True))
    others = {name: tuple(_import_units(study, name, sources, tables, roots)) for name in ("pretrained", "beside")}
    chosen = tuple(_choose_units(study, layers, train))
    saes = chosen or train or others["pretrained"]
    index = tuple(_index_unit(study, roots, *three) for three in zip(layers, extract, saes, strict=True))
    by_layer = dict(zip(layers, zip(extract, saes, index, strict=True), strict=True))
    skipped = left_out(study, sources, shape, layers)
    analyses = tuple(_analysis_units(study, sources, roots, by_layer, skipped))
    sweep = (*train, *others["beside"]) if chosen or others["beside"] else ()
    report = _report_unit(study, roots, {"layer": extract, "sae": saes, "sweep": sweep, "analyses": analyses}, skipped)
    imported = (*others["pretrained"], *others["beside"])
    return Plan(study, roots, capture, layers, extract, train, imported, chosen, index, analyses, report, skipped)


def _extract_unit(study: Study, layer: int, capture: Sequence[Unit]) -> Unit:
    recipe = {"layer": layer, **study.capture.model_dump(mode="json", include={"nonfinite", "max_norm_multiple"})}
    return Unit(EXTRACT_LAYER.name, str(layer), recipe, {"shards": tuple(unit.artifact for unit in capture)})


def _train_units(study: Study, layer: int, extract: Unit, roots: Roots) -> Iterator[Unit]:
    inputs = {"layer": (extract.artifact,), "samples": (roots.prepare.artifact,), **extract.inputs}
    knobs = {"checkpoint_every": study.sae.checkpoint_every}
    for name, config in study.sae.variants().items():
        recipe = {"layer": layer, "sae": config.model_dump(mode="json", exclude=_SAE_SPEED)}
        yield Unit(TRAIN_SAE.name, f"{layer}-{name}" if name else str(layer), recipe, inputs, knobs)


def _refuse_too_dense(study: Study, d_model: int) -> None:
    for config in study.sae.variants().values():
        features = config.expansion * d_model
        if config.k > features and config.l1_coefficient is None:
            raise BadInput(f"sae.k: {config.k} exceeds the {features} features of sae.expansion {config.expansion}")


def _import_units(
    study: Study, field: str, sources: Sources, tables: Mapping[int, Unit], roots: Roots
) -> Iterator[Unit]:
    """Someone else's SAE of each layer, measured on the rows that ours is trained on."""
    rows = study.sae.model_dump(mode="json", include={"image_share", "max_rows", "seed"})
    rows["seed"] = rows["seed"][0] if isinstance(rows["seed"], list) else rows["seed"]
    for layer, source in sources.saes.get(field, {}).items():
        inputs = {"layer": (tables[layer].artifact,), "samples": (roots.prepare.artifact,), **tables[layer].inputs}
        was = source.trained
        trained = {"model": was.model, "hook": was.hook, "differs": list(was.differs), "other_model": was.other_model}
        recipe = {"layer": layer, "rows": rows, "content": source.content, "trained": trained}
        name = f"{layer}-beside" if field == "beside" else str(layer)
        yield Unit(IMPORT_SAE.name, name, recipe, inputs, {"folder": str(source.folder)})


def _choose_units(study: Study, layers: tuple[int, ...], train: Sequence[Unit]) -> Iterator[Unit]:
    """A unit a layer that takes the chosen variant's SAE over; none where there is nothing to choose."""
    variants = list(study.sae.variants())
    if len(variants) < 2:
        return
    inputs = {"candidates": tuple(unit.artifact for unit in train)}  # layer by layer, each in the variants' order
    for place, layer in enumerate(layers):
        recipe = {"layer": layer, "place": place, "variants": variants, "choose": study.sae.choose}
        yield Unit(CHOOSE_SAE.name, str(layer), recipe, inputs)


def _index_unit(study: Study, roots: Roots, layer: int, extract: Unit, sae: Unit) -> Unit:
    recipe = {"layer": layer, "index": study.index.model_dump(mode="json")}
    inputs = {"layer": (extract.artifact,), "sae": (sae.artifact,), "samples": (roots.prepare.artifact,)}
    return Unit(INDEX_FEATURES.name, str(layer), recipe, {**inputs, **extract.inputs})


def _analysis_units(
    study: Study,
    sources: Sources,
    roots: Roots,
    by_layer: Mapping[int, tuple[Unit, Unit, Unit]],
    skipped: Mapping[str, str],
) -> Iterator[Unit]:
    for spec in ANALYSES:
        if spec.name in skipped:
            continue
        layers = _analysis_layers(study, spec, tuple(by_layer))
        config = {**getattr(study.analyses, spec.name).model_dump(mode="json")}
        config |= {"layers": list(layers)} if "layers" in config else {"layer": layers[0]}
        recipe = {"config": config, "layers": list(layers), "model": model_recipe(study, sources)}
        inputs = {
            "samples": (roots.prepare.artifact,),
            "layer": tuple(by_layer[layer][0].artifact for layer in layers),
            "sae": tuple(by_layer[layer][1].artifact for layer in layers),
            "index": tuple(by_layer[layer][2].artifact for layer in layers),
            "shards": by_layer[layers[0]][0].inputs["shards"],
        }
        yield Unit(spec.name, "", recipe, inputs)


def _analysis_layers(study: Study, spec: StepSpec, captured: tuple[int, ...]) -> tuple[int, ...]:
    config = getattr(study.analyses, spec.name)
    name = "layer" if hasattr(config, "layer") else "layers"
    wanted = (config.layer,) if name == "layer" else config.layers
    if wanted == "all":
        return captured
    if getattr(config, name) == type(config).model_fields[name].default:  # named by nobody: what is nearest will do
        wanted = sorted({min(captured, key=lambda layer: abs(layer - one)) for one in wanted})
    missing = [layer for layer in wanted if layer not in captured]
    if missing:
        raise BadInput(
            f"analyses.{spec.name}.{name}: layer {missing[0]} is not among capture.layers ({_short(captured)})"
        )
    return tuple(wanted)


def _short(layers: Sequence[int]) -> str:
    if len(layers) <= 6:
        return ", ".join(map(str, layers))
    gaps = [place for place in range(1, len(layers)) if layers[place] != layers[place - 1] + 1]
    runs = [layers[start:end] for start, end in zip([0, *gaps], [*gaps, len(layers)], strict=True)]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _report_unit(study: Study, roots: Roots, units: Mapping[str, Sequence[Unit]], skipped: Mapping[str, str]) -> Unit:
    recipe: dict[str, Any] = {"study": study.model_dump(mode="json", exclude={"tracking"}), "skipped": dict(skipped)}
    recipe["study"]["model"].pop("path")  # the weights' hash is in the inputs; where they lie is not the result
    if study.model.factory is None:
        recipe["study"]["model"].pop("factory")
    recipe["study"]["data"].pop("path", None)
    recipe["study"]["capture"] = {
        key: value for key, value in recipe["study"]["capture"].items() if key not in CAPTURE_SPEED - {"layers"}
    }
    recipe["study"]["capture"].pop("precomputed")
    for name in ("checkpoint_every", "pretrained", "beside"):  # what the others hold is in the inputs, too
        recipe["study"]["sae"].pop(name)
    # A unit's own name is that of whichever study made it first.
    recipe["sweep"] = [_variant(unit) for unit in units["sweep"]]
    made = {role: tuple(unit.artifact for unit in several) for role, several in units.items() if several}
    inputs = {"samples": (roots.prepare.artifact,), **made}
    return Unit(REPORT.name, "", recipe, inputs)


def _variant(unit: Unit) -> str:
    return "beside" if unit.step == IMPORT_SAE.name else unit.name.partition("-")[2] or "trained"
