from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from explorer.labels.store import FILE, FeatureLabels
from explorer.reading.library import Library
from explorer.server.app import guarded, make_app
from explorer.server.served import Served
from tests.explorer.world import World, make_world

NAMES = ("127.0.0.1", "localhost", "::1")
Client = Callable[..., TestClient]


def client_of(world: World, token: str | None = None, **defaults: object) -> TestClient:
    root = world.workspace.root
    served = Served(Library(world.workspace), FeatureLabels(root / FILE), **defaults)
    return TestClient(guarded(make_app(served), NAMES, 8000, token), base_url="http://127.0.0.1:8000")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("explored") / "workspace", tmp_path_factory.mktemp("layer"))


@pytest.fixture(scope="module")
def client(world: World) -> TestClient:
    return client_of(world)


@pytest.fixture
def own(world: World, tmp_path: Path) -> World:
    """A world of the test's own."""
    return world.copied(tmp_path / "workspace")
