"""The one place that reads the environment."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import BadInput
from core.precomputed_source import pin_precomputed
from core.sae_sources import pin_saes
from core.sources import pin
from core.study import Study, find_study, load_study
from core.workspace import Workspace

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """Where this process works; every field has an environment variable of its own.

    `SAEFLOW_WORKSPACE`: the workspace's folder (default: `workspace` in the project).
    `SAEFLOW_TRACKING_URI`: MLflow (default: SQLite in the workspace; a `file:` store is refused by MLflow).
    `SAEFLOW_MLFLOW_URL`: address of MLflow's pages, for links.
    """

    workspace: Workspace
    tracking_uri: str
    mlflow_url: str


def read_settings() -> Settings:
    """The settings of this process."""
    root = Path(os.environ.get("SAEFLOW_WORKSPACE", PROJECT / "workspace")).expanduser().resolve()
    default = f"sqlite:///{root / 'mlflow.db'}"
    return Settings(
        Workspace(root),
        os.environ.get("SAEFLOW_TRACKING_URI", default),
        os.environ.get("SAEFLOW_MLFLOW_URL", "http://127.0.0.1:5000"),
    )


def study_folders() -> list[Path]:
    """Where a study's relative path is looked up: the working directory, then the project's studies."""
    return [Path.cwd(), PROJECT / "deployments" / "studies"]


def open_study(study: Study | str, overrides: Sequence[str] = ()) -> Study:
    """A study with absolute places; its relative paths start at its own file, else at the study folders.

    Raises:
        BadInput: no such file, a field is wrong, or the table or model is nowhere.
    """
    if isinstance(study, Study):
        return _pinned(study, [*study_folders(), PROJECT])
    path = find_study(study, study_folders())
    return _pinned(load_study(path, overrides), [path.parent, *study_folders(), PROJECT])


def _pinned(study: Study, bases: Sequence[Path]) -> Study:
    return pin_precomputed(pin_saes(pin(study, bases), bases), bases)


def open_profile_path(name: str) -> Path:
    """The cluster profile that `name` means.

    Raises:
        BadInput: there is no such profile.
    """
    folder = PROJECT / "deployments" / "clusters"
    for path in (Path.cwd() / name, folder / name, folder / f"{name}.yaml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    raise BadInput(f"cluster {name!r}: no such profile; known: {known}")
