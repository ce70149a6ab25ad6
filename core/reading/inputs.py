"""What an analysis is given, for a study that has run: its measures can be asked of single features."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from core.features.inputs import AnalysisInputs
from core.reading.study import OpenedStudy

if TYPE_CHECKING:
    from core.lm.loaded import LoadedModel


def analysis_inputs(study: OpenedStudy, open_model: "Callable[[], LoadedModel]") -> AnalysisInputs:
    """The inputs of a study's analyses of its first concept, without what was planted.

    Raises:
        BadInput: the samples are missing or damaged.
    """
    model = study.config["model"]
    shown = study.samples["image"].is_not_null().any()
    return AnalysisInputs(
        samples=study.labelled,
        images=study.workspace.store.path(study.samples_artifact) if shown else None,
        truth=None,
        layers=study.layers,
        languages=study.languages,
        open_layer=study.layer,
        open_frozen=None if study.frozen is None else study.frozen.layer,
        open_model=open_model,
        instructions={language: str(model.get(f"instruction_{language}", "")) for language in study.languages},
        seed=int(study.config.get("seed", 0)),
        concept=study.concept,
    )
