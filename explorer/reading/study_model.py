"""The model of a study that has run: where it lies now, and whether it still is the one that the study read."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.reading.study import OpenedStudy
from core.store.steps import CAPTURE
from explorer.reading.refusals import BUSY, CONFLICT, UNUSABLE, Refusal

if TYPE_CHECKING:
    from core.lm.loaded import LoadedModel

_PATIENCE_S = 30.0
_TURN = threading.Lock()
_OPEN: "dict[tuple[Path, str, str], LoadedModel]" = {}


def model_folder(study: OpenedStudy, layer: int) -> Path:
    """The folder of the model that the rows of a layer were captured from.

    Raises:
        Refusal: the rows came from elsewhere, or from a model of one's own; or another model lies there now.
        BadInput: the model is nowhere.
    """
    from core.planning.loading import parse_study  # all of a study's sections, which reading need not wait for
    from core.planning.located import Sources
    from core.planning.model_source import read_model
    from core.planning.survey import reader_of

    model = _captured_model(study, layer)
    if model is None or study.config["model"].get("path") is None:
        raise Refusal(
            UNUSABLE, f"{study.title}: its activations were made elsewhere or by a factory; others can search"
        )
    reader = reader_of(study.workspace)
    found = read_model(parse_study(study.config, f"study {study.key}"), Sources("", ""), reader)
    reader.memo.save()
    if found.folder is None or found.model != model["weights"]:
        place = found.folder or study.config["model"]["path"]
        raise Refusal(CONFLICT, f"model.path: {place} is another model than the study read; put that one back")
    return found.folder


@contextmanager
def opened_model(study: OpenedStudy, layer: int) -> "Iterator[LoadedModel]":
    """The model that the rows of a layer were captured from, on the GPU if there is one, for the block alone: others
    wait until it has ended. The last one stays open.

    Raises:
        Refusal: others have a model for longer than 30 s; or it cannot be had, or is another one now (`model_folder`).
        BadInput: it cannot be opened.
    """
    if not _TURN.acquire(timeout=_PATIENCE_S):
        raise Refusal(BUSY, "the model is busy with another question; ask again in a moment")
    try:
        yield _open(study, layer)
    finally:
        _TURN.release()


def _open(study: OpenedStudy, layer: int) -> "LoadedModel":
    from core.lm.loading import load_model  # PyTorch, transformers: seconds, which reading need not pay

    key = (model_folder(study, layer), str(study.config["model"]["compute_dtype"]), _device())
    if key not in _OPEN:
        _OPEN.clear()  # first: two may be more than fit
        _OPEN[key] = load_model(*key)
    return _OPEN[key]


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _captured_model(study: OpenedStudy, layer: int) -> dict[str, Any] | None:
    shard = next((one for one in study.layer_artifacts(layer).shards if one.step == CAPTURE.name), None)
    if shard is None:
        return None
    model: dict[str, Any] | None = study.workspace.store.manifest(shard)["unit"]["recipe"].get("model")
    return model
