"""The report in a real browser: it draws every chart, asks nobody for anything, and sets Arabic right to left."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.served import CHECKER, RULES

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def report(browser: Browser, mini_workspace: Path) -> Iterator[tuple[Page, list[str], list[str]]]:
    asked: list[str] = []
    wrong: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto((mini_workspace / "reports" / "mini" / "report.html").resolve().as_uri())
    page.wait_for_function("document.body.dataset.drawn === 'yes'", timeout=120_000)
    yield page, asked, wrong
    page.close()


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


@pytest.fixture(scope="module", params=["light 1280", "light 400", "dark 1280", "dark 400"])
def opened(request: pytest.FixtureRequest, browser: Browser, mini_workspace: Path) -> Iterator[Page]:
    scheme, width = request.param.split()
    context = browser.new_context(color_scheme=scheme, viewport={"width": int(width), "height": 900}, bypass_csp=True)
    page = context.new_page()
    page.goto((mini_workspace / "reports" / "mini" / "report.html").resolve().as_uri())
    page.wait_for_function("document.body.dataset.drawn === 'yes'", timeout=120_000)
    yield page
    context.close()


def test_in_either_scheme_and_on_a_telephone_nothing_is_wider_than_the_page_or_breaks_a_rule(opened: Page) -> None:
    opened.evaluate("document.querySelectorAll('main details.table').forEach(item => (item.open = true))")
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    wide = "node => node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflowX !== 'auto'"
    assert opened.eval_on_selector_all(".scroll", f"nodes => nodes.filter({wide}).length") == 0
    opened.evaluate(CHECKER)
    found = opened.evaluate("rules => axe.run(document, { runOnly: rules, resultTypes: ['violations'] })", RULES)
    told = [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in found["violations"]]
    assert told == []


def test_charts_are_read_on_the_ground_that_they_stand_on(opened: Page) -> None:
    """Words, lines and grounds: contrast of every axis title, and of every curve, to the chart's own ground."""
    assert opened.evaluate(_CONTRAST) >= 3


def test_what_is_printed_is_dark_on_white_in_either_scheme(opened: Page) -> None:
    opened.emulate_media(media="print")
    grounds = "[document.body, document.querySelector('.vega svg')].map(node => getComputedStyle(node).backgroundColor)"
    assert opened.evaluate(grounds) == ["rgb(255, 255, 255)"] * 2
    assert opened.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    opened.emulate_media(media="screen")


_CONTRAST = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => part / 255);
    const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const ratios = [];
  for (const chart of document.querySelectorAll(".vega svg")) {
    const ground = light(getComputedStyle(chart).backgroundColor);
    const words = [".role-axis-title text", ".role-legend-label text", ".role-axis-label text"];
    for (const word of chart.querySelectorAll(words.join(", "))) {
      const own = light(getComputedStyle(word).fill);
      ratios.push((Math.max(own, ground) + 0.05) / (Math.min(own, ground) + 0.05));
    }
  }
  return Math.min(...ratios);
}"""
