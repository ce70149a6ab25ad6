"""Word at milestones, sent by a real Prefect server to an HTTP listener of ours."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prefect import flow

from core.errors import BadInput
from flows import notices

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("prefect_server")]


class Listener:
    """Takes in what is posted to it."""

    def __init__(self) -> None:
        self.heard: list[dict[str, str]] = []
        self.arrived = threading.Condition()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with listener.arrived:
                    listener.heard.append(body)
                    listener.arrived.notify_all()
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, title: str) -> str:
        with self.arrived:
            assert self.arrived.wait_for(lambda: any(item["title"] == title for item in self.heard), 60), self.heard
            return next(item["message"] for item in self.heard if item["title"] == title)


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    notices.switch_off()
    found.server.shutdown()
    found.server.server_close()


def test_start_and_failure_are_told_with_their_reason(listener: Listener) -> None:
    made = notices.switch_on(f"json://127.0.0.1:{listener.server.server_port}")
    assert len(made) == len(notices.milestones())

    @flow(name="full-analysis", flow_run_name="full-analysis toy")
    def study() -> None:
        raise ValueError("layer 12 has no rows")

    with pytest.raises(ValueError, match="no rows"):
        study()
    listener.wait_for("saeflow: full-analysis toy started")
    assert "layer 12 has no rows" in listener.wait_for("saeflow: full-analysis toy failed")


def test_switched_off_nothing_is_left(listener: Listener) -> None:
    notices.switch_on(f"json://127.0.0.1:{listener.server.server_port}")
    assert notices.switch_off() == len(notices.milestones())
    assert notices.switch_off() == 0


def test_an_address_of_no_known_kind_is_refused() -> None:
    with pytest.raises(BadInput, match="no address that Apprise knows"):
        notices.switch_on("pigeon://roof")
