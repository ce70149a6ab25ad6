"""Pages that show what catalogues say, over tables made by hand."""

import pytest
from starlette.testclient import TestClient

from tests.explorer.dashboard.conftest import pages_of
from tests.explorer.dashboard.parsed import parsed
from tests.explorer.test_explanations import SAE, saes_of
from tests.explorer.world import World
from tests.planted_tables import HOSTILE, Said, publish, tables_of

FEATURE = "/s/cats-00000001/l/0/f/{}"
TABLE = "/s/cats-00000001/l/0"


@pytest.fixture(scope="module")
def pages(analysed: World) -> TestClient:
    publish(analysed.workspace, saes_of(analysed))
    return pages_of(analysed)


def test_a_features_page_shows_texts_scores_and_what_was_asked(pages: TestClient) -> None:
    text = pages.get(FEATURE.format(3)).text
    shown = " ".join(parsed(text).text)
    assert "Catalogue cats" in " ".join(shown.split()) and "a woman is named" in shown
    assert '<p class="told" dir="rtl" lang="ar"><bdi lang="ar">ذكر امرأة</bdi></p>' in text
    assert "0.900 [0.800, 0.950]" in shown and "chance ½" in shown and "n = 20, 2 unread" in shown
    assert 'class="score above"' in text and "What do these examples have in common?" in shown
    assert shown.count("Prompt and raw answer") == 2  # the words were found without a model


def test_what_failed_is_counted_and_told(pages: TestClient) -> None:
    shown = " ".join(" ".join(parsed(pages.get(FEATURE.format(7)).text).text).split())
    assert "1 of 2 gave no explanation." in shown and "No explanation: refusal: I cannot help with that" in shown


def test_scores_below_chance_are_marked_and_hostile_text_stays_text(pages: TestClient) -> None:
    text = pages.get(FEATURE.format(4)).text
    assert 'class="score below"' in text and "<script>alert" not in text
    assert HOSTILE in " ".join(parsed(text).text)


def test_a_feature_beside_the_catalogue_and_its_interpretation(pages: TestClient) -> None:
    assert "This feature is not in the catalogue." in pages.get(FEATURE.format(9)).text
    assert "From the analysis interpretation" in pages.get(FEATURE.format(7)).text


def test_the_table_shows_and_searches_what_catalogues_say(pages: TestClient) -> None:
    found = pages.get(TABLE, params={"q": "SINGER"}).text
    assert "1 of 40 features" in found and "words around: woman, singer · a woman is named" in found
    assert "2 of 40 features" in pages.get(TABLE, params={"filter": "catalogue~words around, feature<7"}).text
    assert "37 of 40 features" in pages.get(TABLE, params={"filter": "!catalogue"}).text
    assert "1 of 40 features" in pages.get("/s/cats-00000001/features", params={"q": "ذكر امرأة"}).text
    rows = pages.get("/studies/cats/layers/0/features", params={"filter": "catalogue~beach"}).json()["features"]
    assert [one["feature"] for one in rows] == [7]


def test_the_table_follows_a_catalogue_that_is_replaced(own: World) -> None:
    publish(own.workspace, saes_of(own))
    pages = pages_of(own)
    assert "1 of 40 features" in pages.get(TABLE, params={"q": "singer"}).text
    publish(own.workspace, saes_of(own), tables_of([SAE], {5: (Said("words", "a dancer"),)}))
    assert "0 of 40 features" in pages.get(TABLE, params={"q": "singer"}).text
    assert "1 of 40 features" in pages.get(TABLE, params={"q": "dancer"}).text


def test_two_features_are_compared_with_what_is_said_of_both(pages: TestClient) -> None:
    shown = " ".join(parsed(pages.get("/compare", params={"a": "cats:0:3", "b": "cats:0:4"}).text).text)
    assert "a woman is named" in shown and "words around: red, car" in shown


def test_the_search_page_has_a_box_for_explanations(pages: TestClient) -> None:
    assert 'action="/find/explanations"' in pages.get("/find").text
    found = pages.get("/find/explanations", params={"q": "woman"})
    shown = " ".join(" ".join(parsed(found.text).text).split())
    assert "By words alone" in shown and "embedder planted/embedder: is not on this machine" in shown
    assert f"{FEATURE.format(3)}#explained" in parsed(found.text).links
    arabic = pages.get("/find/explanations", params={"q": "امرأة", "study": "cats-00000001", "layer": "0"}).text
    assert '<p dir="rtl" lang="ar"><bdi lang="ar">ذكر امرأة</bdi></p>' in arabic


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({"q": "zebra"}, 200, "No explanation has these words."),
        ({"q": "x", "layer": "two"}, 422, "is no number"),
        ({"q": "x", "study": "dogs"}, 404, "is not shown here"),
        ({"q": "x", "layer": "5"}, 200, "There is nothing to search."),
        ({}, 200, "Search explanations"),
    ],
)
def test_what_finds_nothing_is_told(pages: TestClient, asked: dict[str, str], status: int, words: str) -> None:
    answer = pages.get("/find/explanations", params=asked)
    assert answer.status_code == status and words in answer.text


def test_a_damaged_catalogue_leaves_the_page_whole(own: World) -> None:
    place = publish(own.workspace, saes_of(own))
    (place / "scores.parquet").resolve().write_bytes(b"no")
    answer = pages_of(own).get(FEATURE.format(3))
    assert answer.status_code == 200 and "catalogue cats: " in answer.text and "cannot be read" in answer.text
