"""The report of a catalogue, over tables made by hand: what it says, shows and leaves out."""

import re
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from core.report.catalogue import write_catalogue_report
from core.study.catalogue import CatalogueConfig
from tests.planted_tables import FEATURES, HOSTILE, Said, tables_of, write

SAE, FLOOR = "cats/layer_0", "cats/layer_0-frozen"
CONFIG = CatalogueConfig.model_validate(
    {"name": "cats", "description": "What do they mean?", "study": "cats"}
).model_dump(mode="json")


def made(place: Path, tables: dict[str, pl.DataFrame], images: Path | None = None) -> Path:
    write(place / "tables", tables)
    out = place / "out"
    out.mkdir()
    return write_catalogue_report(place / "tables", CONFIG, out, images)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("samples")
    (place / "images").mkdir()
    for number in range(2):
        Image.new("RGB", (16, 16), (200 * number, 0, 90)).save(place / "images" / f"s{number}.png")
    return place


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    return made(tmp_path_factory.mktemp("report"), tables_of([SAE, FLOOR]), images)


def text_of(page: Path) -> str:
    text = re.sub(r"(?s)<(script|style).*?</\1>", "", page.read_text("utf-8"))
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def test_every_feature_has_its_explanations_scores_strips_and_pictures(page: Path) -> None:
    text = text_of(page)
    for feature in FEATURES:
        assert f"{SAE} · feature {feature}" in text
    assert "fuzz 0.90 [0.80, 0.95] (balanced accuracy, n = 20, 2 unread)" in text
    assert "no explanation (refusal: I cannot help with that)" in text
    html = page.read_text("utf-8")
    assert 'dir="rtl" lang="ar"' in html and "Map of the feature over images/s0.png" in html
    assert 'alt="Image images/s1.png"' in html and "Map of the feature over images/s1.png" not in html  # silent there
    assert HOSTILE not in html and "<script>alert" not in html


def test_figures_are_shown_as_drawn_on_a_telephone(page: Path) -> None:
    """A screen of 400 px leaves a figure 326 px; wider ones are drawn smaller, letters too."""
    for name in ("scores", "differences"):
        with Image.open(page.parent / "figures" / f"{name}.png") as picture:
            assert picture.width * 72 / picture.info["dpi"][0] <= 326


def test_failures_are_counted(page: Path) -> None:
    text = text_of(page)
    assert "What failed" in text and "Explanations that failed" in text
    assert "Answers of judges that could not be read" in text


def test_a_difference_is_told_where_its_interval_leaves_0_out(tmp_path: Path) -> None:
    apart = {number: (Said("words", "x", score=0.9 - number / 1000),) for number in range(1, 13)}
    same = {number: (Said("words", "x", score=0.5 + (number % 3) / 100),) for number in range(1, 13)}
    said = []
    for name, features in (("apart", apart), ("same", same)):
        (tmp_path / name).mkdir()
        said.append(text_of(made(tmp_path / name, tables_of([SAE, FLOOR], features))))
    words = "difference of the mean AUROC of explanations by words under embedding"
    assert f"Measured: {words}" in said[0] and words not in said[1]


def test_without_a_frozen_dictionary_nothing_is_compared(tmp_path: Path) -> None:
    page = made(tmp_path, tables_of([SAE]))
    assert "no control" in text_of(page) and not (page.parent / "figures" / "differences.json").exists()
    assert 'alt="Image ' not in page.read_text("utf-8")  # no folder of pictures


def test_equal_tables_give_equal_bytes_and_fetch_nothing(page: Path, tmp_path: Path, images: Path) -> None:
    again = made(tmp_path, tables_of([SAE, FLOOR]), images)
    for name in ("report.html", "report.md", "figures/scores.png", "figures/differences.json"):
        assert (page.parent / name).read_bytes() == (again.parent / name).read_bytes(), name
    assert not re.search(r'(?:src|href)="https?:', page.read_text("utf-8"))


def test_the_markdown_says_the_same(page: Path) -> None:
    text = (page.parent / "report.md").read_text("utf-8")
    assert text.startswith("# cats\n") and "| cats/layer\\_0 | 3 | llama | en | a woman is named |  |" in text
    assert "## Explanations that failed" in text and "![" in text and "(figures/scores.png)" in text


def test_of_many_features_some_are_shown_evenly(tmp_path: Path) -> None:
    text = text_of(made(tmp_path, tables_of([SAE], {number: (Said("words", "x"),) for number in range(40)})))
    assert "12 of 40 features" in text
    shown = [int(number) for number in re.findall(r"layer_0 · feature (\d+)", text)]
    assert sorted(set(shown)) == [place * 40 // 12 for place in range(12)]
