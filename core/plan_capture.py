"""The units that fill the store with activations: the model run over shards of images, or rows made elsewhere."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from core.errors import BadInput
from core.steps import CAPTURE, IMPORT_ACTIVATIONS
from core.study import Study, resolve_layers
from core.study.sites import Sized, extent
from core.units import Precomputed, Roots, Shape, Sources, Unit

CAPTURE_SPEED = {"token_budget", "batch_size", "checkpoint_every", "layers"}
"""What decides how fast, not what comes out: left out of every recipe."""
_READ_LATER = {"precomputed", "max_norm_multiple"}
"""Fields of `capture` that decide nothing of a shard."""


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


def capture_units(
    study: Study, sources: Sources, roots: Roots, shape: Shape, layers: tuple[int, ...]
) -> Iterator[Unit]:
    """One unit a shard of images; a single one where the rows are made already."""
    if sources.precomputed is not None:
        yield _import_unit(study, sources.precomputed, roots)
        return
    config = study.capture.model_dump(mode="json", exclude=CAPTURE_SPEED | _READ_LATER)
    knobs = {"token_budget": study.capture.token_budget, "batch_size": study.capture.batch_size}
    size = study.capture.checkpoint_every
    inputs = {"samples": (roots.prepare.artifact,)}
    if roots.convert_model is not None:
        inputs["model"] = (roots.convert_model.artifact,)
    for number, start in enumerate(range(0, shape.images, size)):
        recipe = {
            "capture": config,
            "layers": list(layers),
            "model": model_recipe(study, sources),
            "images": [start, min(start + size, shape.images)],
        }
        yield Unit(CAPTURE.name, f"{number:03d}", recipe, inputs, knobs)


def _import_unit(study: Study, rows: Precomputed, roots: Roots) -> Unit:
    recipe = {
        "content": rows.content,
        "layers": list(rows.layers),
        "capture": study.capture.model_dump(mode="json", include={"site", "segments"}),
    }
    return Unit(
        IMPORT_ACTIVATIONS.name, "", recipe, {"samples": (roots.prepare.artifact,)}, {"folder": str(rows.folder)}
    )


def model_recipe(study: Study, sources: Sources) -> dict[str, Any]:
    """The weights and how they are asked; transformers' version too, for it decides masks and attention kernels."""
    if study.model.factory is not None:
        return {"factory": study.model.factory, "weights": sources.model}
    config = study.model.model_dump(mode="json", exclude={"path", "factory"})
    return {**config, "weights": sources.model, "transformers": version("transformers")}
