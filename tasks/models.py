"""The model under study, opened once a thread: hooks of two units must never meet on one module."""

import threading
from pathlib import Path

import torch

from core.lm.loading import LoadedModel, load_model
from tasks.context import Work

_mine = threading.local()
# transformers builds a model under a process-wide "meta" device: two threads at once get empty weights.
_loading = threading.Lock()


def open_model(work: Work, compute_dtype: str | None = None) -> LoadedModel:
    """The study's model on the unit's device, in the study's precision unless another is asked for."""
    dtype = compute_dtype or str(work.recipe["model"]["compute_dtype"])
    key = (work.context.model_folder, dtype, device_of(work))
    if getattr(_mine, "key", None) != key:
        _mine.key = _mine.model = None
        with _loading:
            _mine.model = load_model(Path(work.context.model_folder), dtype, key[2])
        _mine.key = key
    loaded: LoadedModel = _mine.model
    return loaded


def device_of(work: Work) -> str:
    """The device that the unit computes on."""
    if work.context.device != "auto":
        return work.context.device
    return "cuda" if torch.cuda.is_available() else "cpu"
