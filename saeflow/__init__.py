"""saeflow for notebooks and for packages of analyses. What is named here is public; every other module is not.

Nothing heavy is imported before it is used: each name below is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from saeflow._siblings import refuse_others

if TYPE_CHECKING:
    from core.analysis.declaration import Analysis as Analysis
    from core.analysis.result import Result as Result
    from core.errors import BadInput as BadInput
    from core.features.backends.loader import ActivationLoader as ActivationLoader
    from core.features.inputs import AnalysisInputs as AnalysisInputs
    from core.features.layer_view import LayerView as LayerView
    from core.features.open_store import open_store as open_store
    from core.figures.theme import Figure as Figure
    from core.planning.study import Study as Study
    from core.stats.estimate import Control as Control
    from core.stats.estimate import Estimate as Estimate
    from core.stats.estimate import Source as Source
    from core.study.section import Section as Section
    from saeflow import captions as captions
    from saeflow import catalogue as catalogue
    from saeflow import factored as factored
    from saeflow import lens as lens
    from saeflow import lm as lm
    from saeflow import probes as probes
    from saeflow._studies import open as open
    from saeflow._studies import run as run

refuse_others()

_PLACES = {
    "open": "saeflow._studies:open",
    "run": "saeflow._studies:run",
    "open_store": "core.features.open_store:open_store",
    "ActivationLoader": "core.features.backends.loader:ActivationLoader",
    "Study": "core.planning.study:Study",
    "Section": "core.study.section:Section",
    "Analysis": "core.analysis.declaration:Analysis",
    "AnalysisInputs": "core.features.inputs:AnalysisInputs",
    "LayerView": "core.features.layer_view:LayerView",
    "Result": "core.analysis.result:Result",
    "Figure": "core.figures.theme:Figure",
    "Estimate": "core.stats.estimate:Estimate",
    "Control": "core.stats.estimate:Control",
    "Source": "core.stats.estimate:Source",
    "BadInput": "core.errors:BadInput",
    "captions": "saeflow.captions",
    "catalogue": "saeflow.catalogue",
    "lm": "saeflow.lm",
    "factored": "saeflow.factored",
    "lens": "saeflow.lens",
    "probes": "saeflow.probes",
}
__all__ = [
    "ActivationLoader",
    "Analysis",
    "AnalysisInputs",
    "BadInput",
    "Control",
    "Estimate",
    "Figure",
    "LayerView",
    "Result",
    "Section",
    "Source",
    "Study",
    "captions",
    "catalogue",
    "factored",
    "lens",
    "lm",
    "open",
    "open_store",
    "probes",
    "run",
]

if not TYPE_CHECKING:  # a checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"saeflow has no {name!r}; public are {', '.join(__all__)}")
        place, _, attribute = _PLACES[name].partition(":")
        module = import_module(place)
        globals()[name] = getattr(module, attribute) if attribute else module
        return globals()[name]

    def __dir__() -> list[str]:
        return __all__
