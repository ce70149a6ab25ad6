"""The explorer's pages in a real browser, wide and narrow, light and dark: sound, accessible, used by keyboard."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.served import CHECKER, RULES, serving
from tests.explorer.dashboard.analyses import with_analyses
from tests.explorer.test_explanations import saes_of
from tests.explorer.world import make_world
from tests.planted_tables import publish

pytestmark = [pytest.mark.timeout(1200), pytest.mark.slow]
STUDY, LAYER = "/s/cats-00000001", "/s/cats-00000001/l/0"
PAGES = [
    "/",
    STUDY,
    LAYER,
    f"{STUDY}/features",
    f"{LAYER}?filter=meen%3E1",
    f"{LAYER}/f/7?by=activity",
    f"{LAYER}/f/3",
    f"{LAYER}/f/0?other=1",
    f"{STUDY}/samples/s03?layer=0",
    "/compare?a=cats:0&b=cats",
    "/find",
    "/s/dogs",
    f"{LAYER}/f/4",
    "/compare?a=cats:0:3&b=cats:0:7",
    "/find/explanations?q=woman",
    "/find/explanations?q=zebra",
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dashboard")
    world = with_analyses(make_world(folder / "workspace", folder))
    publish(world.workspace, saes_of(world))
    with serving(world.workspace) as found:
        yield found


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_every_page_is_sound_and_accessible(browser: Browser, address: str, width: int, scheme: str) -> None:
    context = browser.new_context(
        base_url=address,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(address) else None)
    for path in PAGES:
        answer = page.goto(path)
        assert answer is not None and answer.status < 500
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
            f"{path} overflows at {width}"
        )
        for folded in page.locator(".explanation summary").all():
            folded.click()
        page.evaluate(CHECKER)
        found = page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(RULES)}}})")
        faults = [f"{fault['id']}: {fault['nodes'][0]['html'][:120]}" for fault in found["violations"]]
        wrong += [f"{path}: {fault}" for fault in faults]
    assert [text for text in wrong if "status of 404" not in text and "status of 422" not in text] == []
    context.close()


def test_the_table_is_walked_by_keyboard(page: Page) -> None:
    page.goto(LAYER)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.press("Escape")
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    second = page.evaluate("document.activeElement.getAttribute('href')")
    assert second == f"{LAYER}/f/2"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{LAYER}/f/7")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**{LAYER}/f/8")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**{LAYER}/f/7")


def test_a_choice_needs_no_button(page: Page) -> None:
    page.goto(LAYER)
    page.select_option("#sort", "-max")
    page.wait_for_url("**sort=-max*")
    page.goto(f"{LAYER}/f/7")
    page.select_option("#by", "activity")
    page.wait_for_url("**by=activity*")
    assert "Observed, not intervened" in page.inner_text("main")


def test_what_takes_seconds_says_so_until_its_page_comes(page: Page) -> None:
    page.goto(f"{LAYER}/f/7")
    page.route("**by=activity*", lambda route: route.fulfill(status=204))  # an answer without a page: this one stays
    page.select_option("#by", "activity")
    page.wait_for_function("document.querySelector('.works').textContent.startsWith('Computing')")
    assert page.get_attribute("form.inline", "aria-busy") == "true"


def test_a_label_is_saved_and_shown_after_reload(page: Page) -> None:
    page.goto(f"{LAYER}/f/9")
    page.fill("#text", "قطة <b>cat</b>")
    page.fill("#author", "ada")
    page.get_by_role("button", name="Save label").click()
    page.wait_for_url("**#label")
    page.reload()
    assert page.input_value("#text") == "قطة <b>cat</b>" and "قطة <b>cat</b>" in page.inner_text("h1")
    page.goto(f"{LAYER}/f/10")
    assert page.input_value("#author") == "ada"


def test_arabic_letters_join_across_shaded_tokens(page: Page) -> None:
    page.goto(f"{STUDY}/samples/s03?layer=0")
    strip = page.locator('.firing [lang="ar"]').first
    assert strip.evaluate("node => getComputedStyle(node).direction") == "rtl"
    assert page.eval_on_selector_all(
        ".strip span",
        "nodes => nodes.every(node => ['padding', 'margin', 'borderWidth'].every("
        "name => parseFloat(getComputedStyle(node)[name]) === 0) && getComputedStyle(node).display === 'inline')",
    )


def test_a_map_shows_values_and_lies_over_its_picture(page: Page) -> None:
    page.goto(f"{LAYER}/f/4", wait_until="networkidle")
    cell = page.locator(".overlay rect").first
    assert float(cell.locator("title").text_content() or "0") > 0
    picture, drawn = (page.locator(f".pairs .overlay {name}").first.bounding_box() for name in ("img", "svg"))
    assert picture is not None and drawn is not None and picture["width"] == drawn["width"] > 50


def test_counterparts_are_fetched_when_they_come_into_view(page: Page) -> None:
    page.goto(f"{LAYER}/f/0")
    section = page.locator("section", has=page.locator("#counterparts"))
    section.scroll_into_view_if_needed()
    section.get_by_text("English → Arabic").wait_for()
    assert "Find them" not in section.inner_text() and "/f/0" in page.url and "other" not in page.url


def test_an_explanation_is_found_and_read(page: Page) -> None:
    page.goto("/find")
    page.fill("#q", "امرأة")
    page.get_by_role("button", name="Search explanations").click()
    page.wait_for_url("**/find/explanations?q=*")
    page.get_by_role("link", name="Feature 3 of layer 0").click()
    page.wait_for_url(f"**{LAYER}/f/3#explained")
    told = page.locator('.explanation .told[lang="ar"]')
    assert told.evaluate("node => getComputedStyle(node).direction") == "rtl"
    asked = page.locator(".explanation details", has_text="Prompt and raw answer").first
    assert not asked.locator("pre").first.is_visible()
    asked.locator("summary").click()
    assert "What do these examples have in common?" in asked.locator("pre").first.inner_text()
