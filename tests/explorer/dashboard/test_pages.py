"""Every page answers, with what there is or with why there is nothing, and is sound HTML."""

import re
import sys
from collections import Counter
from itertools import pairwise
from subprocess import run
from urllib.parse import urljoin, urlsplit

import pytest
from starlette.testclient import TestClient

from tests.explorer.dashboard.parsed import parsed

STUDY, LAYER = "/s/cats-00000001", "/s/cats-00000001/l/0"
FEATURE, SILENT = f"{LAYER}/f/7", f"{LAYER}/f/3"
PAGES = [
    "/",
    STUDY,
    LAYER,
    f"{LAYER}?sort=-max&q=7&filter=density%3E0",
    f"{STUDY}/features",
    FEATURE,
    f"{FEATURE}?by=activity",
    f"{FEATURE}?by=activity&language=ar",
    f"{FEATURE}?other=1",
    SILENT,
    f"{STUDY}/samples/s03",
    f"{STUDY}/samples/s03?layer=0",
    "/compare",
    "/compare?a=cats&b=cats:0",
    "/find",
    "/find?study=cats&layer=0",
]


@pytest.mark.parametrize("which", ["bare", "pages"])
@pytest.mark.parametrize("address", PAGES)
def test_every_page_answers_and_is_sound(request: pytest.FixtureRequest, which: str, address: str) -> None:
    answer = request.getfixturevalue(which).get(address)
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")
    page = parsed(answer.text)
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(page.headings))
    assert len(page.ids) == len(set(page.ids))
    assert all(own.get("id") in page.labelled for own in page.fields if own.get("type") != "hidden")
    assert all("alt" in own for own in page.named("img"))
    assert page.named("html")[0]["lang"] == "en" and page.named("main")


@pytest.mark.parametrize("address", PAGES[:10])
def test_nothing_on_a_page_is_inline_or_from_elsewhere(pages: TestClient, address: str) -> None:
    answer = pages.get(address)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    page = parsed(answer.text)
    assert not [own for _, own in page.elements if any(name == "style" or name.startswith("on") for name in own)]
    assert not page.named("style") and all("src" in own for own in page.named("script"))
    assert all(not urlsplit(link).netloc for link in page.links)


MOST_OF_A_KIND = 5
"""Pages of one kind, such as features, that are opened: their links are as those of the others."""


def test_every_link_of_a_study_leads_somewhere(pages: TestClient) -> None:
    seen, opened, waiting = set[str](), Counter[str](), ["/"]
    while waiting:
        address = waiting.pop(0)
        answer = pages.get(address)
        assert answer.status_code == 200 or "/l/1/" in address, f"{address}: {answer.status_code}"
        if not answer.headers["Content-Type"].startswith("text/html"):
            continue
        page = parsed(answer.text)
        assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids), address
        found = [urljoin(address, link).partition("#")[0] for link in page.links if not link.endswith("/label")]
        for link in dict.fromkeys(found):
            kind = re.sub(r"\d+|(?<=[?&]).*", "", link)
            if link not in seen and opened[kind] < MOST_OF_A_KIND:
                opened[kind] += 1
                waiting.append(link)
            seen.add(link)
    assert {FEATURE, f"{STUDY}/features"} <= seen and len(opened) >= 15


def test_without_analyses_each_section_says_why_it_is_empty(bare: TestClient) -> None:
    words = parsed(bare.get(f"{LAYER}/f/8").text).words
    for said in (
        "The analysis interpretation has not run in this study.",
        "The analysis evolution has not run in this study.",
        "No intervention names this feature.",
        "It fires on too few images to be tested",
        "Nobody has labelled it yet.",
    ):
        assert said in words
    assert "The analysis overview has not run in this study." in parsed(bare.get(STUDY).text).words
    assert "This feature never fires." in parsed(bare.get(SILENT).text).words


def test_with_analyses_their_numbers_stand_with_interval_and_control(pages: TestClient) -> None:
    words = parsed(pages.get(FEATURE).text).words
    assert "0.900 [0.800, 0.950]" in words and "0.0100 [−0.0200, 0.0300]" in words
    assert "one of the 1 features of layer 0 that the ablation took out together" in words
    assert "promoted<b>1" in words and "0.500" in words
    charts = parsed(pages.get(STUDY).text)
    assert [own["class"] for own in charts.named("path") if "band" in own["class"]] == []  # one layer: no band
    assert "pre-gender rows" in charts.words and "shuffled labels" in charts.words


def test_a_breakdown_says_that_it_is_observed_and_names_its_control(pages: TestClient) -> None:
    words = parsed(pages.get(f"{FEATURE}?by=activity").text).words
    assert "Observed, not intervened" in words and "shuffled" in words and "q = " in words
    assert "sings" in words and "cooks" in words


def test_counterparts_are_computed_when_asked_for_and_beside_their_control(pages: TestClient) -> None:
    assert "Find them" in parsed(pages.get(FEATURE).text).words
    words = parsed(pages.get(f"{LAYER}/f/0?other=1").text).words
    assert "English → Arabic" in words and "Arabic → English" in words and "Find them" not in words
    assert words.count("with shuffled images the best of all features stays below") == 2
    assert "4 of 12 images: too few to compare" in parsed(pages.get(f"{LAYER}/f/1?other=1").text).words


def test_a_workspace_without_a_study_says_what_to_run(empty: TestClient) -> None:
    assert "saeflow run demo" in empty.get("/").text
    assert "No study has a layer yet." in empty.get("/find").text


def test_arabic_is_set_right_to_left_in_one_run_of_text(pages: TestClient) -> None:
    sample = parsed(pages.get(f"{STUDY}/samples/s03?layer=0").text)
    arabic = [own for tag, own in sample.elements if tag == "p" and own.get("lang") == "ar"]
    assert arabic and all(own["dir"] == "rtl" for own in arabic)
    assert all(own["dir"] == "ltr" for own in sample.named("p") if own.get("lang") == "en")
    inside = [own for tag, own in sample.elements if tag == "span" and own.get("class", "").startswith("h")]
    assert inside and all(set(own) == {"class", "title"} for own in inside)


def test_pages_load_no_pytorch() -> None:
    words = "import sys, explorer.dashboard.pages; sys.exit('torch' in sys.modules or 'altair' in sys.modules)"
    assert run([sys.executable, "-c", words], check=False).returncode == 0
