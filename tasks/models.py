"""The model under study, opened once a thread: hooks of two units must never meet on one module."""

import threading
from pathlib import Path

from core.errors import BadInput
from core.lm.factory import FIELD, FactoryModel, factory_content, open_factory
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.shape import read_shape
from core.planning.steps import STEPS
from tasks.context import Work
from tasks.gpu_usage import device_of_step

_mine = threading.local()
# transformers builds a model under a process-wide "meta" device: two threads at once get empty weights.
LOADING = threading.Lock()


def open_model(work: Work, compute_dtype: str | None = None) -> LoadedModel:
    """The study's model on the unit's device, in the study's precision unless another is asked for."""
    dtype = compute_dtype or str(work.recipe["model"]["compute_dtype"])
    key = (work.context.model_folder, dtype, device_of(work))
    if getattr(_mine, "key", None) != key:
        _mine.key = _mine.model = None
        with LOADING:
            _mine.model = load_model(Path(work.context.model_folder), dtype, key[2])
        for note in _mine.model.notes:
            work.logger.info("model: %s", note)
        _mine.key = key
    loaded: LoadedModel = _mine.model
    return loaded


def open_own(work: Work) -> FactoryModel:
    """The model that the study's factory makes, on the unit's device.

    Raises:
        BadInput: it has other weights than when the study was planned.
    """
    key = (work.context.factory, device_of(work))
    if getattr(_mine, "key", None) != key:
        _mine.key = _mine.model = None
        with LOADING:
            made = open_factory(str(work.context.factory), key[1])
        if factory_content(str(work.context.factory), made) != work.recipe["model"]["weights"]:
            raise BadInput(
                f"{FIELD}: {work.context.factory} made other weights, or from other code, than when the study was "
                "planned; let it set its seed, or read its weights from a file"
            )
        _mine.key, _mine.model = key, made
    model: FactoryModel = _mine.model
    return model


def model_name(work: Work) -> str:
    """What kind of model the study reads: transformers' name of it, or its factory."""
    return work.context.factory or read_shape(Path(work.context.model_folder)).model_type


def device_of(work: Work) -> str:
    """The device that the unit computes on."""
    return device_of_step(STEPS[work.unit.step], work.context.device)
