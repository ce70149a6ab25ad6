"""The units up to the layers' tables: samples, the converted model, shards of rows, and each layer's table."""

from collections.abc import Iterator

from core.errors import BadInput
from core.planning.located import Sources
from core.planning.naming import Naming, model_recipe
from core.planning.study import Study
from core.store.steps import CAPTURE, CONVERT_MODEL, EXTRACT_LAYER, IMPORT_ACTIVATIONS, PREPARE
from core.store.units import Unit

CAPTURE_SPEED = {"token_budget", "batch_size", "checkpoint_every", "layers"}
"""Fields of `capture` that a shard's `capture` leaves out: they decide how fast, or stand in its recipe by what follows
from them (the layers, the range of images)."""
_READ_LATER = {"precomputed", "max_norm_multiple"}
"""Fields of `capture` that decide nothing of a shard."""


def prepare_unit(study: Study, sources: Sources) -> Unit:
    """The samples."""
    data = study.data.model_dump(mode="json", exclude={"path"})
    path = getattr(study.data, "path", None)
    knobs = {"path": path} if path else {}
    return PREPARE.unit("", {"data": data, "content": sources.data}, knobs=knobs)


def convert_unit(package: str, content: str) -> Unit:
    """The checkpoint out of the package that the model comes in."""
    return CONVERT_MODEL.unit("", {"package": package, "content": content})


def prepare(naming: Naming) -> Iterator[Unit]:
    """One unit: the samples."""
    yield prepare_unit(naming.study, naming.sources)


def convert_model(naming: Naming) -> Iterator[Unit]:
    """One unit where the model comes in a package."""
    if naming.sources.package is not None:
        yield convert_unit(naming.sources.package, naming.sources.model)


def capture(naming: Naming) -> Iterator[Unit]:
    """One unit per shard of images; none where the rows are made already.

    Raises:
        BadInput: rows that are not finite are to be computed again, and a factory makes the model.
    """
    study = naming.study
    if study.model.factory is not None and study.capture.nonfinite == "recompute":
        raise BadInput("capture.nonfinite: recompute opens a checkpoint again; with model.factory use fail or drop")
    if naming.sources.precomputed is not None:
        return
    config = study.capture.model_dump(mode="json", exclude=CAPTURE_SPEED | _READ_LATER)
    knobs = {"token_budget": study.capture.token_budget, "batch_size": study.capture.batch_size}
    converted = tuple(unit.artifact for unit in naming.of(CONVERT_MODEL))
    inputs = {"samples": naming.samples, **({"model": converted} if converted else {})}
    size, images = study.capture.checkpoint_every, naming.shape.images
    for number, start in enumerate(range(0, images, size)):
        recipe = {
            "capture": config,
            "layers": list(naming.layers),
            "model": model_recipe(study, naming.sources),
            "images": [start, min(start + size, images)],
        }
        yield CAPTURE.unit(f"{number:03d}", recipe, inputs, knobs)


def import_activations(naming: Naming) -> Iterator[Unit]:
    """One unit where the rows are made already."""
    rows = naming.sources.precomputed
    if rows is None:
        return
    recipe = {
        "content": rows.content,
        "layers": list(rows.layers),
        "capture": naming.study.capture.model_dump(mode="json", include={"site", "segments"}),
    }
    yield IMPORT_ACTIVATIONS.unit("", recipe, {"samples": naming.samples}, {"folder": str(rows.folder)})


def extract_layer(naming: Naming) -> Iterator[Unit]:
    """One unit per layer: its table out of all shards."""
    checks = naming.study.capture.model_dump(mode="json", include={"nonfinite", "max_norm_multiple"})
    for layer in naming.layers:
        yield EXTRACT_LAYER.unit(str(layer), {"layer": layer, **checks}, {"shards": naming.shards})
