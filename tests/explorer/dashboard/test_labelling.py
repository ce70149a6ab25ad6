"""A label is set, shown, changed and removed by the form of a feature's page."""

import pytest
from starlette.testclient import TestClient

from tests.explorer.dashboard.parsed import parsed

FEATURE = "/s/cats-00000001/l/0/f/7"


def test_a_label_is_saved_shown_and_removed_with_its_history(own_pages: TestClient) -> None:
    saved = own_pages.post(
        f"{FEATURE}/label", data={"text": "a woman is named", "author": "ada"}, follow_redirects=False
    )
    assert saved.status_code == 303 and saved.headers["Location"] == f"{FEATURE}#label"
    assert "a woman is named" in parsed(own_pages.get(FEATURE).text).words
    assert "a woman is named" in parsed(own_pages.get("/s/cats/l/0?q=woman").text).words
    own_pages.post(f"{FEATURE}/label", data={"text": "امرأة", "author": "zoë"})
    removed = own_pages.post(f"{FEATURE}/label", data={"text": "", "author": "ada", "remove": "1"})
    words = parsed(removed.text).words
    assert removed.status_code == 200 and "History (3)" in words and "removed" in words and "zoë" in words


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"text": "", "author": "ada"}, "text: has 0 characters"),
        ({"text": "woman"}, "author: has 0 characters"),
        ({"text": "x" * 3000, "author": "ada"}, "text: has 3000 characters"),
        ({"text": "x" * 70_000, "author": "ada"}, "send at most"),
    ],
)
def test_a_label_that_cannot_be_kept_is_refused_on_a_page(
    own_pages: TestClient, data: dict[str, str], told: str
) -> None:
    answer = own_pages.post(f"{FEATURE}/label", data=data)
    assert answer.status_code in (413, 422) and told in parsed(answer.text).words
    assert "Nobody has labelled it yet." in own_pages.get(FEATURE).text


def test_a_page_of_another_site_cannot_label(own_pages: TestClient) -> None:
    data = {"text": "theirs", "author": "eve"}
    answer = own_pages.post(f"{FEATURE}/label", data=data, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403 and "theirs" not in own_pages.get(FEATURE).text
