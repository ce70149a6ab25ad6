"""The one place that reads saeflow's own variables; `flows.runtime.environment` cleans everybody else's."""

import os
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput
from core.store.workspace import Workspace, meant
from tasks.tracking_database import sqlite_url

if TYPE_CHECKING:
    from core.planning.study import Study

PROJECT = Path(__file__).resolve().parents[2]
MLFLOW_PAGES = "http://127.0.0.1:5000"
"""Where `saeflow serve` shows MLflow unless it is told another port."""
TRAINING_RUNS = "?workflowType=machine_learning"
"""With this at a link's end MLflow's pages show training runs; without it they open on calls of language models."""


@dataclass(frozen=True)
class Settings:
    """Where this process works; every field has an environment variable of its own.

    `SAEFLOW_WORKSPACE`: the workspace's folder (default: `workspace` in the project).
    `SAEFLOW_TRACKING_URI`: MLflow (default: SQLite in the workspace; a `file:` store is refused by MLflow).
    `SAEFLOW_MLFLOW_URL`: address of MLflow's pages, for links (default: the tracking server's, else port 5000 here).

    Set by saeflow for its children: `SAEFLOW_FOLDER`, see `started_in`; `SAEFLOW_PREFECT_ENDS`, where Prefect's server
    ends with the run (`prefect_stays` is then false).
    """

    workspace: Workspace
    tracking_uri: str
    mlflow_url: str
    prefect_stays: bool = True


def read_settings() -> Settings:
    """The settings of this process."""
    root = Path(os.environ.get("SAEFLOW_WORKSPACE", PROJECT / "workspace")).expanduser().resolve()
    _refuse_control_characters(root)
    _refuse_percent(Path(sys.prefix))
    tracking = _absolute(os.environ.get("SAEFLOW_TRACKING_URI") or sqlite_url("sqlite", root / "mlflow.db"))
    pages = tracking.rstrip("/") if tracking.startswith("http") else MLFLOW_PAGES
    stays = not os.environ.get("SAEFLOW_PREFECT_ENDS")
    return Settings(Workspace(root), tracking, os.environ.get("SAEFLOW_MLFLOW_URL", pages), stays)


def open_workspace(folder: str | Path | None = None) -> Workspace:
    """The workspace below a folder, or where none is given that of this process.

    Raises:
        BadInput: its path cannot stand in a URL or a job script.
    """
    if folder is None:
        return read_settings().workspace
    root = Path(folder).expanduser().resolve()
    _refuse_control_characters(root)
    return Workspace(root)


def _refuse_control_characters(root: Path) -> None:
    odd = next((letter for letter in str(root) if unicodedata.category(letter) in ("Cc", "Cs")), None)
    if odd is not None:
        raise BadInput(
            f"workspace {str(root)!r}: its path holds {odd!r}, which no URL or job script can; "
            "choose another with --workspace"
        )


def _refuse_percent(installed: Path) -> None:
    if "%" in str(installed):  # MLflow's migrations take the place of their own files for a pattern
        raise BadInput(
            f"{installed}: MLflow cannot run from a folder with % in its path; move the project and `make setup`"
        )


def _absolute(uri: str) -> str:
    """A relative SQLite database starts where the command was typed, whatever folder a process works in."""
    scheme, slashes, place = uri.partition(":///")
    if not (scheme.startswith("sqlite") and slashes) or place.startswith(("/", ":memory:", "file:")) or not place:
        return uri
    folder = sqlite_url(scheme, started_in())
    return f"{folder}/{place}"


def started_in() -> Path:
    """The folder in which the command was typed; saeflow itself may work in another one."""
    return Path(os.environ.get("SAEFLOW_FOLDER") or Path.cwd())


def study_folders() -> list[Path]:
    """Where a study's relative path is looked up: the folder of the command, then the project's studies."""
    return [started_in(), PROJECT / "deployments" / "studies"]


def open_study(study: "Study | str", overrides: Sequence[str] = (), workspace: Workspace | None = None) -> "Study":
    """A study with absolute places; its relative paths start at its own file, else at the study folders. A name that is
    no file's may be that of a study, or variant, that has run in this workspace.

    Raises:
        BadInput: no such file, a field is wrong, or the table or model is nowhere.
    """
    from core.planning.loading import (
        load_study,
        override_study,
        study_file,
    )  # what reads results need not wait for them
    from core.planning.sources import pin

    if not isinstance(study, str):
        return pin(study, [*study_folders(), PROJECT])
    path = study_file(study, study_folders())
    if path is not None:
        return pin(load_study(path, overrides), [path.parent, *study_folders(), PROJECT])
    workspace = workspace or read_settings().workspace
    found = meant(workspace.records(), study)
    if not found:
        raise _no_study(study, workspace)
    record = found[0]
    ran = override_study(record["study"], overrides, f"study {record['key']}, as it ran in {workspace.root}")
    return pin(ran, [*study_folders(), PROJECT])


def _no_study(name: str, workspace: Workspace) -> BadInput:
    """The error that tells which studies there are: files, and those that have run in the workspace."""
    from core.planning.loading import find_study

    ran = {str(record["study"]["name"]) for record in workspace.records()}
    try:
        find_study(name, study_folders(), ran)
    except BadInput as error:
        return error
    raise AssertionError(f"{name} is there")


def open_profile_path(name: str) -> Path:
    """The cluster profile that `name` means.

    Raises:
        BadInput: there is no such profile.
    """
    folder = PROJECT / "deployments" / "clusters"
    for path in (started_in() / name, folder / name, folder / f"{name}.yaml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    raise BadInput(f"cluster {name!r}: no such profile; known: {known}")
