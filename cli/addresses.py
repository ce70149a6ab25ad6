"""Where Prefect's and MLflow's pages of a workspace answer now: what `status`, `run`, `layer` and `doctor` print."""

import os
from dataclasses import dataclass
from typing import Literal

from cli.servers import healthy, read_note, served_api, serves
from core.errors import BadInput
from flows.runtime.settings import MLFLOW_PAGES, TRAINING_RUNS, Settings

PREFECT_PAGES = "http://127.0.0.1:4200"
"""Where `saeflow serve` shows Prefect unless it is told another port."""


@dataclass(frozen=True)
class Address:
    """The pages of one server: where they answer, where a named one does not, or where `make serve` would show them."""

    name: str
    url: str
    state: Literal["up", "silent", "not served"]


@dataclass(frozen=True)
class Addresses:
    """The servers of a workspace."""

    prefect: Address
    mlflow: Address

    @property
    def words(self) -> str:
        """Both in a line."""
        both = (self.prefect, self.mlflow)
        words = [f"{one.name} {one.url}" for one in both if one.state == "up"]
        words += [f"{one.name} {one.url} does not answer" for one in both if one.state == "silent"]
        missing = [f"{one.name}: {one.url}" for one in both if one.state == "not served"]
        return " · ".join([*words, *([f"not running; `make serve` starts {' · '.join(missing)}"] if missing else [])])

    def rebased(self, link: str) -> str:
        """A link into MLflow's pages, on training runs; they may have been on another port when it was written."""
        page = link.partition("/#/")[2].partition("?")[0]
        return f"{self.mlflow.url}/#/{page}{TRAINING_RUNS}" if page else link


def addresses(settings: Settings) -> Addresses:
    """Ask the servers that this workspace's note, the environment or the tracking address names."""
    return Addresses(_prefect(settings), _mlflow(settings))


def _prefect(settings: Settings) -> Address:
    try:
        api = served_api(settings)
    except BadInput:
        return Address("Prefect", os.environ["PREFECT_API_URL"].removesuffix("/api"), "silent")
    if api is None:
        return Address("Prefect", PREFECT_PAGES, "not served")
    return Address("Prefect", api.removesuffix("/api"), "up")


def _mlflow(settings: Settings) -> Address:
    if settings.mlflow_url != MLFLOW_PAGES:  # it was named; on the usual port may be another workspace's
        up = healthy(f"{settings.mlflow_url}/health")
        return Address("MLflow", settings.mlflow_url, "up" if up else "silent")
    note = read_note(settings)
    if note and serves(str(note["api"]), settings) and healthy(f"{note['mlflow']}/health"):
        return Address("MLflow", str(note["mlflow"]), "up")
    return Address("MLflow", MLFLOW_PAGES, "not served")
