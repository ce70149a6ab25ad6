"""Call a flow in this process; imported only once a Prefect API is there."""

import logging
from dataclasses import dataclass
from typing import Any

from core.errors import BadInput
from flows.full_analysis import full_analysis
from flows.single_layer import single_layer
from flows.stages import StageFailed

_FLOWS: dict[str, Any] = {"full-analysis": full_analysis, "single-layer": single_layer}


@dataclass(frozen=True)
class Outcome:
    """What a flow returned, or why it failed in words for the user."""

    value: object = None
    error: str | None = None


def call_flow(name: str, parameters: dict[str, object]) -> Outcome:
    """Run a flow to its end; failures that are told in one line come back as words."""
    # The terminal belongs to the live table; Prefect's lines are in the UI and the unit logs.
    for logger in ("prefect", "prefect.flow_runs", "prefect.task_runs", "prefect.engine", "saeflow.flows"):
        logging.getLogger(logger).setLevel(logging.ERROR if logger != "prefect" else logging.CRITICAL)
    try:
        return Outcome(value=_FLOWS[name](**parameters))
    except (BadInput, StageFailed) as error:
        return Outcome(error=str(error))
