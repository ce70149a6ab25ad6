"""The feature table: what is looked for is found, and what cannot be read is told beside the form."""

import pytest
from starlette.testclient import TestClient

from tests.explorer.dashboard.parsed import Parsed, parsed

LAYER = "/s/cats-00000001/l/0"


def features(page: Parsed) -> list[int]:
    rows = [own["href"] for own in page.named("a") if own.get("aria-label", "").startswith("Feature ")]
    return [int(link.rpartition("/")[2]) for link in rows]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort=-association&filter=association", [7, 2]),
        ("filter=association%3E0.3", [7]),
        ("filter=association,auroc%3C0.5", [2]),
        ("q=39", [39]),
        ("q=woman", [7]),
        ("q=nothing+of+this", []),
        ("filter=!max&sort=feature", None),
    ],
)
def test_features_are_searched_filtered_and_sorted(pages: TestClient, query: str, expected: list[int] | None) -> None:
    for address in (f"{LAYER}?{query}", f"/s/cats/features?{query}"):
        found = features(parsed(pages.get(address).text))
        assert found == expected if expected is not None else 3 in found


def test_a_layer_that_was_ranked_shows_the_strongest_association_first(pages: TestClient) -> None:
    page = parsed(pages.get(LAYER).text)
    assert features(page)[:2] == [7, 2]
    (sorted_by,) = [own for own in page.named("th") if "aria-sort" in own]
    assert sorted_by["aria-sort"] == "descending"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("filter=meen%3E1", "did you mean mean?"),
        ("sort=meen", "did you mean mean?"),
        ("filter=max%3Enan", "is no number"),
    ],
)
def test_what_cannot_be_read_is_told_beside_the_form(pages: TestClient, query: str, told: str) -> None:
    answer = pages.get(f"{LAYER}?{query}")
    page = parsed(answer.text)
    assert answer.status_code == 422 and told in page.words and features(page) == []
    assert any(own.get("role") == "alert" for own in page.named("p")) and page.named("form")


@pytest.mark.parametrize("query", ["page=99", "row=4000"])
def test_rows_beyond_the_last_are_the_last(pages: TestClient, query: str) -> None:
    assert len(features(parsed(pages.get(f"{LAYER}?{query}").text))) == 40


ALL = "/s/cats-00000001/features"


@pytest.mark.parametrize(("layers", "rows"), [("0", 40), ("1", 0), ("1-3", 0), ("7, 0-2", 40), ("", 40)])
def test_layers_are_chosen_one_by_one_and_by_ranges(pages: TestClient, layers: str, rows: int) -> None:
    assert len(features(parsed(pages.get(ALL, params={"layers": layers}).text))) == rows


def test_layers_that_cannot_be_read_are_told_beside_the_form(pages: TestClient) -> None:
    answer = pages.get(ALL, params={"layers": "8, eight"})
    assert answer.status_code == 422 and "'eight' is no layer; write 8 or 10-12" in parsed(answer.text).words
    many = pages.get(ALL, params={"layers": ",".join(["1"] * 51)})
    assert many.status_code == 422 and "give at most 50" in parsed(many.text).words


@pytest.mark.parametrize("address", [LAYER, ALL])
def test_rows_alone_are_those_of_the_page_with_their_places(pages: TestClient, address: str) -> None:
    page, alone = (parsed(pages.get(f"{address}?sort=-max&q=3{part}").text) for part in ("", "&part=rows"))
    assert features(alone) == features(page) != []
    places = [int(own["aria-rowindex"]) for own in alone.named("tr")]
    assert places == list(range(2, len(places) + 2)) and alone.named("table")[0]["data-total"] == str(len(places))
    whole = page.named("table")[0]["aria-rowcount"]
    assert whole == str(len(places) + 1) and page.named("tr")[0]["aria-rowindex"] == "1"


@pytest.mark.parametrize("address", [LAYER, ALL])
def test_a_new_label_is_found_at_once(own_pages: TestClient, address: str) -> None:
    assert features(parsed(own_pages.get(f"{address}?q=queen").text)) == []
    own_pages.post(f"{LAYER}/f/9/label", data={"text": "a queen", "author": "ada"})
    assert features(parsed(own_pages.get(f"{address}?q=queen").text)) == [9]
    assert features(parsed(own_pages.get(f"{address}?filter=label").text)) == [9]


def test_the_side_on_which_a_feature_fires_more_is_named(pages: TestClient) -> None:
    words = parsed(pages.get(f"{LAYER}?filter=association").text).words
    assert "female 0.900" in words and "male 0.200" in words
