"""The report in a real browser: it draws every chart, asks nobody for anything, and sets Arabic right to left."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def report(mini_workspace: Path) -> Iterator[tuple[Page, list[str], list[str]]]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "the browser tests need Chromium: sudo apt-get install chromium"
    asked: list[str] = []
    wrong: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto((mini_workspace / "reports" / "mini" / "report.html").resolve().as_uri())
        page.wait_for_timeout(5000)
        yield page, asked, wrong
        browser.close()


def test_nothing_is_asked_of_the_network(report: tuple[Page, list[str], list[str]]) -> None:
    _, asked, wrong = report
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert wrong == []


def test_every_chart_is_drawn(report: tuple[Page, list[str], list[str]]) -> None:
    page, _, _ = report
    drawn = page.locator("svg.marks, canvas.marks").count()
    assert drawn >= 10
    widths = page.eval_on_selector_all(
        "svg.marks, canvas.marks", "nodes => nodes.map(node => node.getBoundingClientRect().width)"
    )
    assert min(widths) > 50


def test_arabic_is_set_right_to_left(report: tuple[Page, list[str], list[str]]) -> None:
    page, _, _ = report
    assert page.locator('[lang="ar"]').count() > 0
    directions = page.eval_on_selector_all(
        '[lang="ar"]', "nodes => nodes.map(node => getComputedStyle(node).direction)"
    )
    assert set(directions) == {"rtl"}


def test_no_section_is_wider_than_the_page(report: tuple[Page, list[str], list[str]]) -> None:
    page, _, _ = report
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
