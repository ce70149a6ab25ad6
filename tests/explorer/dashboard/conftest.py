from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core.store.workspace import Workspace
from explorer.dashboard.pages import add_pages
from explorer.labels.store import FILE, FeatureLabels
from explorer.reading.library import Library
from explorer.server.app import guarded, make_app
from explorer.server.served import Served
from tests.explorer.conftest import NAMES
from tests.explorer.dashboard.analyses import with_analyses
from tests.explorer.world import World


def pages_in(workspace: Workspace) -> TestClient:
    served = Served(Library(workspace), FeatureLabels(workspace.root / FILE))
    app = guarded(make_app(served, add_pages), NAMES, 8000)
    return TestClient(app, base_url="http://127.0.0.1:8000", headers={"Accept": "text/html"})


def pages_of(world: World) -> TestClient:
    return pages_in(world.workspace)


@pytest.fixture(scope="module")
def bare(world: World) -> TestClient:
    """Pages of a study that no analysis has looked at."""
    return pages_of(world)


@pytest.fixture(scope="module")
def analysed(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    return with_analyses(world.copied(tmp_path_factory.mktemp("analysed") / "workspace"))


@pytest.fixture(scope="module")
def pages(analysed: World) -> TestClient:
    """Pages of a study with results."""
    return pages_of(analysed)


@pytest.fixture
def own_pages(own: World) -> TestClient:
    """Pages over a workspace of the test's own, to be changed."""
    return pages_of(own)


@pytest.fixture
def empty(tmp_path: Path) -> TestClient:
    """Pages of a workspace without a study."""
    return pages_in(Workspace(tmp_path))
