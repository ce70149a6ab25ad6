"""The model of a study that has run: where it lies now, and whether it still is the one that the study read."""

from pathlib import Path
from typing import Any

from core.planning.loading import parse_study
from core.planning.located import Sources
from core.planning.model_source import read_model
from core.planning.survey import reader_of
from core.reading.study import OpenedStudy
from core.store.steps import CAPTURE
from explorer.reading.refusals import CONFLICT, UNUSABLE, Refusal


def model_folder(study: OpenedStudy, layer: int) -> Path:
    """The folder of the model that the rows of a layer were captured from.

    Raises:
        Refusal: the rows came from elsewhere, or from a model of one's own; or another model lies there now.
        BadInput: the model is nowhere.
    """
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


def _captured_model(study: OpenedStudy, layer: int) -> dict[str, Any] | None:
    shard = next((one for one in study.layer_artifacts(layer).shards if one.step == CAPTURE.name), None)
    if shard is None:
        return None
    model: dict[str, Any] | None = study.workspace.store.manifest(shard)["unit"]["recipe"].get("model")
    return model
