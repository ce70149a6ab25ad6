"""The explorer's pages in a real browser, wide and narrow, light and dark: sound, accessible, used by keyboard."""

import json
import shutil
import threading
from collections.abc import Iterator
from importlib.resources import files

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from explorer.dashboard.pages import add_pages
from explorer.labels.store import FILE, FeatureLabels
from explorer.reading.library import Library
from explorer.server.app import guarded, make_app
from explorer.server.served import Served
from explorer.server.serving import Place
from tests.explorer.conftest import NAMES
from tests.explorer.dashboard.analyses import with_analyses
from tests.explorer.world import make_world

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
    f"{STUDY}/samples/s03?layer=0",
    "/compare?a=cats:0&b=cats",
    "/find",
    "/s/dogs",
]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dashboard")
    world = with_analyses(make_world(folder / "workspace", folder))
    served = Served(Library(world.workspace), FeatureLabels(world.workspace.root / FILE))
    place = Place("127.0.0.1", 0, NAMES)
    listening = place.listen()
    port = int(listening.getsockname()[1])
    config = uvicorn.Config(guarded(make_app(served, add_pages), NAMES, port), log_level="warning")
    server = uvicorn.Server(config)
    with listening:
        listening.listen()
        running = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        running.start()
        yield place.url(port)
        server.should_exit = True
        running.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "the browser tests need Chromium: sudo apt-get install chromium"
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_every_page_is_sound_and_accessible(browser: Browser, address: str, width: int, scheme: str) -> None:
    checker = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
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
        page.evaluate(checker)
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
