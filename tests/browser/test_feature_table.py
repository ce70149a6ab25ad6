"""The feature table over 1,200 rows in a real browser: scrolled, sorted, walked by keys, left and found again."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from benchmarks.synthetic_store import Size, build
from explorer.labels.store import FILE, FeatureLabels, Labelled
from explorer.reading.library import Library
from tests.browser.served import CHECKER, RULES, serving

pytestmark = [pytest.mark.timeout(1200), pytest.mark.slow]
LAYERS, FEATURES = 3, 400
TOTAL = LAYERS * FEATURES
TABLE = "/s/synthetic-1/features?sort=feature"
ARABIC = "امرأة <b>woman</b>"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    workspace = build(tmp_path_factory.mktemp("many"), Size(LAYERS, FEATURES, rows=2000, active=8))
    study = Library(workspace).study("synthetic")
    sae = study.layer_artifacts(1).sae.ref
    FeatureLabels(workspace.root / FILE).put(Labelled(sae, 200, 1, "none"), ARABIC, "ada")
    with serving(workspace) as found:
        yield found


@pytest.fixture
def context(browser: Browser, address: str) -> Iterator[BrowserContext]:
    found = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    yield found
    found.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def name_of(row: int) -> str:
    """The link of a row, from 1 on, of the table by feature: ties stand by layer."""
    return f"Feature {(row - 1) // LAYERS} of layer {(row - 1) % LAYERS}"


def first_in_view(page: Page) -> str:
    return page.evaluate(
        """() => {
            const top = document.querySelector(".rows thead th").getBoundingClientRect().bottom;
            const rows = [...document.querySelectorAll(".rows tbody:not(.gap) tr")];
            return rows.find((row) => row.getBoundingClientRect().bottom > top + 2).querySelector("a").ariaLabel;
        }"""
    )


def scroll_to(page: Page, part: float) -> None:
    page.evaluate(f"() => {{ const r = document.querySelector('.rows'); r.scrollTop = {part} * r.scrollHeight; }}")


def settled(page: Page, row: int) -> None:
    page.wait_for_url(re.compile(rf"[?&]row={row}(&|$)"))
    expect(page.locator("tr.waiting")).to_have_count(0)


def test_the_middle_of_many_rows_shows_the_right_ones(page: Page) -> None:
    page.goto(TABLE)
    assert page.evaluate("document.querySelector('.rows').scrollHeight") > TOTAL * 25
    page.evaluate("document.querySelector('.rows').scrollTop = 25 * 600")
    settled(page, 601)
    assert first_in_view(page) == name_of(601)
    head, region = (page.locator(name).first.bounding_box() for name in (".rows thead th", ".rows"))
    assert head is not None and region is not None and abs(head["y"] - region["y"]) <= 2
    assert page.locator(".rows tbody tr").count() < 100
    label = page.locator('tr[aria-rowindex="603"]')
    assert label.locator("a").get_attribute("aria-label") == name_of(602)
    assert page.locator(".rows table").get_attribute("aria-rowcount") == str(TOTAL + 1)
    assert "rows 601 to" in page.inner_text(".count")


def test_every_row_is_passed_and_none_twice(page: Page) -> None:
    page.goto(TABLE)
    seen: dict[int, str] = {}
    for top in range(0, TOTAL * 25, 450):
        page.evaluate(f"document.querySelector('.rows').scrollTop = {top}")
        expect(page.locator("tr.waiting")).to_have_count(0)
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        expect(page.locator("tr.waiting")).to_have_count(0)
        found = page.eval_on_selector_all(
            ".rows tbody:not(.gap) tr",
            "rows => rows.map(row => [row.ariaRowIndex - 1, row.querySelector('a').ariaLabel])",
        )
        seen |= dict(found)
    assert seen == {row: name_of(row) for row in range(1, TOTAL + 1)}


def test_nothing_moves_while_rows_are_fetched(page: Page) -> None:
    def boxes() -> list[object]:
        return page.eval_on_selector_all(
            "h1, .filters, .count, .rows, .rows thead th",
            "nodes => nodes.map(one => one.getBoundingClientRect().toJSON())",
        )

    page.goto(TABLE)
    page.evaluate("document.fonts.ready")
    before, height = boxes(), page.evaluate("document.querySelector('.rows').scrollHeight")
    for part in (0.3, 0.9, 0.5):
        scroll_to(page, part)
        page.wait_for_timeout(50)
        assert boxes() == before
        expect(page.locator("tr.waiting")).to_have_count(0)
        assert boxes() == before and page.evaluate("document.querySelector('.rows').scrollHeight") == height


def test_keys_move_by_rows_pages_and_ends_and_enter_opens(page: Page) -> None:
    page.goto(TABLE)
    focused = "document.activeElement.ariaLabel"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == name_of(2)
    page.keyboard.press("End")
    expect(page.locator(":focus")).to_have_attribute("aria-label", name_of(TOTAL))
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowUp")
    row = TOTAL - page.evaluate("Math.floor((document.querySelector('.rows').clientHeight - 34) / 25) - 1") - 1
    expect(page.locator(":focus")).to_have_attribute("aria-label", name_of(row))
    page.keyboard.press("Home")
    expect(page.locator(":focus")).to_have_attribute("aria-label", name_of(1))
    for _ in range(40):
        page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == name_of(41)
    page.keyboard.press("Enter")
    page.wait_for_url("**/s/synthetic-1/l/1/f/13")


def test_going_back_finds_the_row_and_the_focus_again(page: Page) -> None:
    page.goto(TABLE)
    scroll_to(page, 0.5)
    page.wait_for_url(re.compile("row="))
    expect(page.locator("tr.waiting")).to_have_count(0)
    place = first_in_view(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    opened = page.evaluate("document.activeElement.ariaLabel")
    page.keyboard.press("Enter")
    page.wait_for_url("**/f/*")
    page.go_back()
    expect(page.locator(":focus")).to_have_attribute("aria-label", opened)
    assert first_in_view(page) == place
    page.reload()
    expect(page.locator(":focus")).to_have_attribute("aria-label", opened)
    assert first_in_view(page) == place


def test_a_link_to_a_row_shows_it_first(page: Page) -> None:
    page.goto(f"{TABLE}&row=777")
    assert first_in_view(page) == name_of(777)


def test_another_order_starts_at_its_first_row(page: Page) -> None:
    page.goto(f"{TABLE}&row=500&layers=2")
    page.get_by_role("link", name="Max", exact=True).click()
    page.wait_for_url("**sort=-max*")
    assert "row=" not in page.url and "layers=2" in page.url
    values = page.locator("tbody:not(.gap) tr").first.locator("td").all_inner_texts()
    assert values[0] == "2" and f"{FEATURES} of {TOTAL:,} features, rows 1 to" in page.inner_text(".count")
    assert page.locator('th[aria-sort="descending"]').inner_text() == "Max ↓"


def test_arabic_labels_run_from_right_to_left_and_are_text(page: Page) -> None:
    page.goto(f"{TABLE}&filter=label")
    cell = page.locator(".said")
    assert cell.inner_text() == ARABIC and cell.evaluate("node => getComputedStyle(node).direction") == "rtl"


def test_without_script_blocks_of_rows_are_turned(browser: Browser, address: str) -> None:
    context = browser.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    page.goto(TABLE)
    rows = page.locator(".rows tbody tr a")
    assert rows.count() == 100 and rows.first.get_attribute("aria-label") == name_of(1)
    page.get_by_role("link", name="Next →").click()
    assert rows.first.get_attribute("aria-label") == name_of(101)
    page.goto(f"{TABLE}&row=777")
    assert rows.first.get_attribute("aria-label") == name_of(701) and "rows 701 to 800" in page.inner_text(".count")
    context.close()


def test_a_table_taller_than_browsers_draw_is_reached_to_its_ends(page: Page) -> None:
    """As with 1,200 rows where a browser draws 10,000 pixels: a step of the scroll bar is three."""

    def lower(route: object) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("17_500_000", "10_000"))

    page.route("**/static/table.js*", lower)
    page.goto(TABLE)
    assert page.evaluate("document.querySelector('.rows').scrollHeight") < 10_100
    scroll_to(page, 1)
    last = page.locator(f'tr[aria-rowindex="{TOTAL + 1}"] a')
    expect(last).to_be_in_viewport()
    assert last.get_attribute("aria-label") == name_of(TOTAL)
    page.focus(".rows")
    page.keyboard.press("Home")
    expect(page.locator(":focus")).to_have_attribute("aria-label", name_of(1))
    for _ in range(30):
        page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.ariaLabel") == name_of(31)
    expect(page.locator(":focus")).to_be_in_viewport()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (400, "light")])
def test_the_scrolled_table_is_accessible(browser: Browser, address: str, width: int, scheme: str) -> None:
    size = {"width": width, "height": 900}
    context = browser.new_context(base_url=address, viewport=size, color_scheme=scheme)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(TABLE)
    scroll_to(page, 0.5)
    page.wait_for_url(re.compile("row="))
    expect(page.locator("tr.waiting")).to_have_count(0)
    page.evaluate(CHECKER)
    found = page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(RULES)}}})")
    wrong += [f"{fault['id']}: {fault['nodes'][0]['html'][:120]}" for fault in found["violations"]]
    assert wrong == [] and page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    context.close()
