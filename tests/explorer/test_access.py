"""Who may ask what: every refusal is one line that says what to do, and nothing beside the studies is reached."""

import gzip

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from tests.explorer.conftest import client_of
from tests.explorer.world import World

LAYER = "/studies/cats/layers/0"
ADDRESSES = [
    "/studies",
    "/studies/cats/layers",
    f"{LAYER}/features",
    f"{LAYER}/features/7",
    f"{LAYER}/activations/4",
    f"{LAYER}/activations/4/arrow",
    f"{LAYER}/top?sample=s03",
    "/context/vocab?study=cats&layer=0",
    "/samples/s03?study=cats",
    "/images/i03?study=cats",
]


@pytest.mark.parametrize(
    ("address", "status", "told"),
    [
        ("/studies/dogs/layers", 404, "study 'dogs': is not shown here; GET /studies lists them (there: cats)"),
        ("/studies/cats/layers/7/features", 404, "layer 7 of cats is not there; ask for one of 0"),
        (f"{LAYER}/features/40", 404, "feature 40 is not there; layer 0 has features 0-39"),
        (f"{LAYER}/activations/40/arrow", 404, "feature 40 is not there"),
        (f"{LAYER}/features/-1", 422, "feature: Input should be greater than or equal to 0"),
        (f"{LAYER}/features/{'9' * 400}", 422, "feature: Input should be less than 2147483648"),
        (f"{LAYER}/features/x", 422, "feature: Input should be a valid integer"),
        (f"{LAYER}/features?sort=meen", 422, "sort: there is no column 'meen'; did you mean mean?"),
        (f"{LAYER}/features?filter=density>>1", 422, "'>1' is no number"),
        (f"{LAYER}/features?filter=;drop", 422, "filter: ';drop' is no term; write a column"),
        (f"{LAYER}/features?filter=max>nan", 422, "'nan' is no number"),
        (f"{LAYER}/features?{'filter=label&' * 11}", 422, "filter: has 11 terms; give at most 10"),
        (f"{LAYER}/features?language=fr", 422, "language: 'fr' was not tested in this layer; give one of ['ar', 'en']"),
        (f"{LAYER}/features?per_page=100000", 422, "per_page: Input should be less than or equal to 200"),
        (f"{LAYER}/features?version=old", 409, "version: the layer was made again"),
        (f"{LAYER}/top?sample=nobody", 404, "sample 'nobody': is none of cats"),
        (f"{LAYER}/top?sample=s03&segment=tail", 422, "segment: the sample has no rows of 'tail'"),
        ("/samples/s99?study=cats", 404, "sample 's99': is none of cats"),
        ("/samples/s03", 400, "no study is named and none is the default"),
        ("/images/i99?study=cats", 404, "image 'i99': is none of cats"),
        ("/nothing", 404, "there is nothing at this address; GET /openapi.json"),
    ],
)
def test_what_is_not_there_is_told_with_what_to_do(client: TestClient, address: str, status: int, told: str) -> None:
    answer = client.get(address)
    assert answer.status_code == status
    assert told in answer.json()["detail"] and "\n" not in answer.json()["detail"]


@pytest.mark.parametrize(
    "address",
    [
        "/images/..%2f..%2f..%2fetc%2fpasswd?study=cats",
        "/images/../../../etc/passwd?study=cats",
        "/images//etc/passwd?study=cats",
        "/images/images%2fi03.png?study=cats",
        "/images/%00?study=cats",
        "/samples/..%2f..%2fsamples.parquet?study=cats",
        "/studies/..%2f..%2fetc/layers",
        "/studies/%2e%2e/layers/0/features",
        "/images/i03?study=../../cats",
    ],
)
def test_no_path_leads_out(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code in (404, 422) and b"root:" not in answer.content
    assert "\n" not in answer.json()["detail"]


def test_an_oversized_request_is_refused(client: TestClient) -> None:
    assert client.get(f"{LAYER}/features?filter={'x' * 60_000}").status_code == 414
    assert client.get("/studies/" + "x" * 9000 + "/layers").status_code == 414
    label = client.put(f"{LAYER}/features/7/label", content=b"{" + b" " * 100_000 + b"}")
    assert label.status_code == 413 and "at most" in label.json()["detail"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_token_is_asked_for_where_one_is_set(world: World, address: str) -> None:
    client = client_of(world, token="s3cret")
    for given in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic s3cret"},
        {"Authorization": "s3cret"},
    ):
        answer = client.get(address, headers=given)
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
    assert client.get(address, headers={"Authorization": "Bearer s3cret"}).status_code == 200


def test_pages_of_others_and_other_hosts_get_nothing(client: TestClient) -> None:
    for origin in ("http://evil.example", "null", "http://localhost:9", "http://[::1"):
        answer = client.get("/studies", headers={"Origin": origin})
        assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers
    assert client.get("/studies", headers={"Host": "evil.example"}).status_code == 400
    answer = client.options("/studies", headers={"Access-Control-Request-Method": "GET"})
    assert answer.status_code == 405 and answer.headers["Allow"] == "GET"
    assert client.get("/studies", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200


def test_a_wrong_method_is_told_with_those_that_there_are(client: TestClient) -> None:
    for address, methods in (("/labels", "GET, POST"), (f"{LAYER}/features/4/label", "DELETE, GET, PUT")):
        answer = client.request("TRACE", address)
        assert answer.status_code == 405 and answer.headers["Allow"] == methods


@pytest.mark.parametrize("address", [*ADDRESSES, "/nothing", "/openapi.json"])
def test_every_answer_says_what_a_browser_may_do_with_it(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("address", [ADDRESSES[2], ADDRESSES[3], ADDRESSES[5], ADDRESSES[9]])
def test_an_answer_that_the_client_has_is_not_sent_again(client: TestClient, address: str) -> None:
    first = client.get(address)
    tag = first.headers["ETag"]
    assert tag.startswith('W/"') and first.headers["Vary"] == "Accept-Encoding"
    for known in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        again = client.get(address, headers={"If-None-Match": known})
        assert again.status_code == 304 and again.content == b"" and again.headers["ETag"] == tag
    assert client.get(address, headers={"If-None-Match": '"other"'}).content == first.content


def read_raw(client: TestClient, address: str, taken: str) -> tuple[bytes, str | None, str]:
    with client.stream("GET", address, headers={"Accept-Encoding": taken}) as answer:
        return b"".join(answer.iter_raw()), answer.headers.get("Content-Encoding"), answer.headers["ETag"]


def test_the_same_document_goes_out_in_each_encoding_under_one_tag(client: TestClient) -> None:
    address = f"{LAYER}/features"
    plain, none, tag = read_raw(client, address, "identity")
    zipped, kind, other = read_raw(client, address, "gzip, deflate")
    assert (none, kind, other) == (None, "gzip", tag) and gzip.decompress(zipped) == plain
    packed, kind, other = read_raw(client, address, "gzip;q=0.5, zstd")
    opened = pa.decompress(packed, decompressed_size=len(plain), codec="zstd", asbytes=True)
    assert (kind, other, opened) == ("zstd", tag, plain)
    for refused in ("zstd;q=0, gzip;q=0.0", "", "br", "zstd;q=0"):
        assert read_raw(client, address, refused)[:2] == (plain, None)
    assert read_raw(client, address, "*")[1] == "zstd"


def test_an_arrow_stream_is_packed_by_zstd_alone(client: TestClient) -> None:
    address = f"{LAYER}/activations/4/arrow"
    plain, _, tag = read_raw(client, address, "gzip")
    packed, kind, other = read_raw(client, address, "gzip, zstd")
    assert (kind, other) == ("zstd", tag) and len(packed) < len(plain)
    assert pa.decompress(packed, decompressed_size=len(plain), codec="zstd", asbytes=True) == plain


def test_a_tag_is_of_its_address_alone(client: TestClient) -> None:
    tag = client.get(f"{LAYER}/features").headers["ETag"]
    other = client.get(f"{LAYER}/features?page=2", headers={"If-None-Match": tag})
    assert other.status_code == 200 and other.headers["ETag"] != tag
