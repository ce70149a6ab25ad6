"""Names, labels, captions, tokens and explanations are text, whatever they spell."""

from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient

from tests.explorer.dashboard.analyses import with_analyses
from tests.explorer.dashboard.conftest import pages_of
from tests.explorer.dashboard.parsed import parsed
from tests.explorer.world import World, publish

ATTACK = """"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;{{7*7}}"""
STUDY = "/s/cats-00000001"
PAGES = ["/", STUDY, f"{STUDY}/l/0", f"{STUDY}/features", f"{STUDY}/l/0/f/7", f"{STUDY}/samples/s03", "/find"]


def rewritten(world: World, step: str, file: str, column: str) -> None:
    """A table of an artefact with the attack in a column, as if the step had written it."""
    unit, store = world.units[step], world.workspace.store
    before = store.path(unit.artifact)
    kept = {path.relative_to(before): path.read_bytes() for path in before.rglob("*") if path.is_file()}
    table = pl.read_parquet(before / file, glob=False)
    store.set_aside(unit.artifact)

    def write(folder: Path) -> None:
        for path, content in kept.items():
            if path.name not in ("manifest.json", "checked.json"):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
        table.with_columns(pl.lit(ATTACK).alias(column)).write_parquet(folder / file)

    publish(world.workspace, unit, write)


@pytest.fixture(scope="module")
def attacked(world: World, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    own = world.copied(tmp_path_factory.mktemp("attacked") / "workspace")
    rewritten(own, "prepare", "samples.parquet", "caption_en")
    rewritten(own, "capture", "tokens.parquet", "token")
    client = pages_of(with_analyses(own, ATTACK, ATTACK))
    client.post(f"{STUDY}/l/0/f/7/label", data={"text": ATTACK, "author": ATTACK})
    return client


@pytest.mark.parametrize("address", PAGES)
def test_no_text_becomes_markup(attacked: TestClient, address: str) -> None:
    answer = attacked.get(address)
    page = parsed(answer.text)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text and "49" not in page.words.replace("0.49", "").split()
    assert all(own.get("src", "").startswith("/static/") for own in page.named("script"))
    assert not [own for own in page.named("img") if own.get("src") == "x" or "onerror" in own]


def test_the_attack_is_on_the_pages_as_text(attacked: TestClient) -> None:
    for address in (f"{STUDY}/l/0", f"{STUDY}/l/0/f/7", f"{STUDY}/samples/s03", STUDY):
        assert "<script>alert(1)</script>" in parsed(attacked.get(address).text).words, address


@pytest.mark.parametrize(
    "query",
    [
        "/s/{}",
        "/s/cats/l/0?q={}",
        "/s/cats/l/0?filter={}",
        "/s/cats/l/0?sort={}",
        "/compare?a={}&b={}",
        "/find?text={}",
    ],
)
def test_what_a_request_says_is_text_too(attacked: TestClient, query: str) -> None:
    from urllib.parse import quote

    answer = attacked.get(query.replace("{}", quote(ATTACK, safe="")))
    assert answer.status_code < 500 and "<script>alert" not in answer.text
