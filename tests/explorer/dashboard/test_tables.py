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


def test_a_page_beyond_the_last_is_the_last(pages: TestClient) -> None:
    assert len(features(parsed(pages.get(f"{LAYER}?page=99").text))) == 40
