"""What a catalogue would ask chat models, before one question is sent: questions, tokens and money by profile."""

from dataclasses import dataclass

from core.chat.estimate import CostEstimate, estimate
from core.chat.listening import Listening, StandIn
from core.chat.questions import Question
from core.planning.catalogue_memory import InMemory
from core.planning.catalogue_survey import CatalogueSurvey
from core.progress import Progress, silent
from core.store.steps import EXPLAIN_FEATURES
from core.store.units import Unit
from core.store.workspace import Workspace

_STAND_IN = "tokens about the setting of a scene, above all words for the weather and for the time of the day in it"
"""In place of an explanation that is not there yet: about as long as one."""


@dataclass(frozen=True)
class Asking:
    """What one explainer or scorer would ask its profile."""

    name: str
    profile: str
    cost: CostEstimate


def catalogue_cost(seen: CatalogueSurvey, workspace: Workspace, progress: Progress = silent) -> list[Asking]:
    """What is asked for the units that are not there, by explainer and scorer, in their order; writes nothing.

    What scorers ask depends on explanations: where one is not there yet, a text of usual length stands for it.

    Raises:
        BadInput: a file of the study or of answers is damaged.
    """
    heard: dict[tuple[str, str], list[Listening]] = {}

    def listening(unit: Unit) -> StandIn | None:
        called = unit.knobs.get("asked", {}).get("profile")
        if called is None:
            return StandIn(_STAND_IN) if unit.knobs.get("asked") else None
        asked = Listening(seen.config.profiles[called], workspace.answers, _STAND_IN)
        heard.setdefault((_asker(unit), called), []).append(asked)
        return asked

    memory = InMemory(seen.plan, workspace, listening)
    units = [unit for unit in seen.missing(workspace) if "profile" in unit.knobs.get("asked", {})]
    for done, unit in enumerate(units):
        progress(done, len(units))
        if unit.step == EXPLAIN_FEATURES.name:
            memory.explained(unit)
        else:
            memory.scored(unit, draws=1)
    progress(len(units), len(units))
    return [
        Asking(name, called, estimate(_all(several), seen.config.profiles[called], workspace.answers))
        for (name, called), several in heard.items()
    ]


def _asker(unit: Unit) -> str:
    return str(unit.recipe["explainer" if unit.step == EXPLAIN_FEATURES.name else "scorer"]["name"])


def _all(several: list[Listening]) -> list[Question]:
    return [question for one in several for question in one.questions]
