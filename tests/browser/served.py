"""A workspace's pages served to a browser on loopback, and what accessibility is checked by."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

import uvicorn

from core.store.workspace import Workspace
from explorer.dashboard.pages import add_pages
from explorer.labels.store import FILE, FeatureLabels
from explorer.reading.library import Library
from explorer.server.app import guarded, make_app
from explorer.server.served import Served
from explorer.server.serving import Place
from tests.explorer.conftest import NAMES

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
CHECKER = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


@contextmanager
def serving(workspace: Workspace) -> Iterator[str]:
    """The address of the pages, as long as the block lasts."""
    served = Served(Library(workspace), FeatureLabels(workspace.root / FILE))
    place = Place("127.0.0.1", 0, NAMES)
    listening = place.listen()
    port = int(listening.getsockname()[1])
    config = uvicorn.Config(guarded(make_app(served, add_pages), NAMES, port), log_level="warning")
    server = uvicorn.Server(config)
    with listening:
        listening.listen()
        running = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        running.start()
        yield place.url(port)
        server.should_exit = True
        running.join(10)
