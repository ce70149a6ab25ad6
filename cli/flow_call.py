"""Call a flow in this process; imported only once a Prefect API is there."""

import os
from dataclasses import dataclass
from typing import Any

from prefect.exceptions import TerminationSignal
from prefect.logging.handlers import APILogWorker

from cli.servers import healthy
from core.errors import BadInput
from flows.concept_scan import concept_scan
from flows.failures import words_of
from flows.feature_catalogue import feature_catalogue
from flows.full_analysis import full_analysis
from flows.single_layer import single_layer
from flows.stages import StageFailed

_FLUSH_S = 5.0
_FLOWS: dict[str, Any] = {flow.name: flow for flow in (full_analysis, single_layer, concept_scan, feature_catalogue)}


@dataclass(frozen=True)
class Outcome:
    """What a flow returned, or why it failed in words for the user."""

    value: object = None
    error: str | None = None


def call_flow(name: str, parameters: dict[str, object]) -> Outcome:
    """Run a flow to its end; failures that are told in one line come back as words.

    Raises:
        KeyboardInterrupt: it was stopped, by Ctrl-C or from Prefect.
    """
    try:
        return Outcome(value=_FLOWS[name](**parameters))
    except (BadInput, StageFailed) as error:
        return Outcome(error=words_of(error))
    except Exception as error:  # a lost server comes as httpx's errors or as Prefect's RuntimeError; all else goes on
        api = os.environ["PREFECT_API_URL"]
        if healthy(f"{api}/health"):
            raise
        return Outcome(
            error=f"the Prefect server at {api} went away in the middle (was its `saeflow serve` stopped?): {error}; "
            "what is finished is kept, so start the same command again"
        )
    except (KeyboardInterrupt, SystemExit, TerminationSignal):
        raise KeyboardInterrupt from None
    finally:
        APILogWorker.drain_all(timeout=_FLUSH_S)  # the server may stop right after
