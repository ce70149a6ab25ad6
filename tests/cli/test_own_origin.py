"""A page of another site, and a name that leads here from elsewhere, get nothing of a real Prefect server."""

from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytestmark = pytest.mark.timeout(300)
FOREIGN = ["http://evil.example", "null", "http://localhost:9", "https://127.0.0.1.evil.example"]


@pytest.fixture(scope="module")
def root(prefect_server: str) -> str:
    return prefect_server.removesuffix("/api")


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_a_page_of_another_origin_is_refused(root: str, origin: str, method: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}
    answer = httpx.request(method, f"{root}/api/flow_runs/filter", headers=asked)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert f"open the server's own pages at {root}" in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:4200", "10.0.0.1:4200", "0.0.0.0:4200"])
def test_another_host_s_name_is_refused(root: str, host: str) -> None:
    for page in ("/api/health", "/"):
        assert httpx.get(f"{root}{page}", headers={"Host": host}).status_code == 400


def test_the_server_s_own_pages_and_programs_are_answered(root: str) -> None:
    port = urlsplit(root).port
    for name in ("127.0.0.1", "localhost", "[::1]"):
        own = {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}"}
        for headers in ({}, {"Host": own["Host"]}, own, {"Origin": own["Origin"]}):
            answer = httpx.post(f"{root}/api/flow_runs/filter", json={"limit": 1}, headers=headers)
            assert answer.status_code == 200
            assert answer.headers.get("access-control-allow-origin") == headers.get("Origin")
    forwarded = {"Host": "localhost:8080", "Origin": "http://localhost:8080"}  # ssh -L 8080:127.0.0.1:4200
    assert httpx.get(f"{root}/api/health", headers=forwarded).status_code == 200


def test_a_websocket_is_guarded_alike(root: str) -> None:
    url = f"{root.replace('http', 'ws')}/api/events/out"
    with connect(url, subprotocols=["prefect"], proxy=None):  # type: ignore[list-item]
        pass
    with pytest.raises(InvalidStatus, match="403"):
        connect(url, origin="http://evil.example", subprotocols=["prefect"], proxy=None)  # type: ignore[arg-type, list-item]
