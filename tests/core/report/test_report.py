import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from core.figures.writers import script_bundle
from core.report import ReportInputs, collect, write_report
from core.report.health import health_words
from core.report.write import without_provenance
from core.store.artifacts import Artifact, DamagedArtifact
from tests.core.report.sample_study import AR, HOST, HOSTILE, STUDY, SampleStudy

VOID = {"meta", "img", "link", "br", "hr", "input"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> SampleStudy:
    return SampleStudy(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def inputs(study: SampleStudy) -> ReportInputs:
    return collect(study.store, STUDY, study.inputs, study.skipped)


@pytest.fixture(scope="module")
def out(inputs: ReportInputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(inputs, folder)
    return folder


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return (out / "report.html").read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Sections in order, addresses that would be fetched, images, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.addresses: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in named:
            self.ids.append(str(named["id"]))
        if tag == "section" and "id" in named:
            self.sections.append(str(named["id"]))
        if tag == "a":
            self.links.append(str(named["href"]))
        elif named.get("src") or named.get("href"):
            self.addresses.append(str(named.get("src") or named.get("href")))
        if tag == "img":
            self.images.append(named)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    assert not found.open
    return found


def test_sections_stand_in_reading_order_with_provenance_last_but_one(page: str) -> None:
    expected = [
        "answers",
        "asked",
        "data",
        "overview",
        "interpretation",
        "visual_patterns",
        "qualitative",
        "features",
        "saes",
        "provenance",
        "skipped",
    ]
    assert outline(page).sections == expected


def test_the_first_screen_has_each_question_with_verdict_number_caveat_and_figure(page: str, out: Path) -> None:
    screen = page[page.index('<section id="answers">') : page.index('<section id="asked">')]
    assert screen.count('<article class="answer">') == 1  # three analyses answer nothing
    assert "English: <b>found</b>" in screen and "Arabic: <b>weak</b>" in screen
    assert "Found (English, layer 19): AUROC of the label" in screen and "0.940 [0.910, 0.970]" in screen
    assert "Weak (Arabic, layer 19)" in screen and "The picture shows it, too." in screen
    assert "By −0.2 of the frozen." not in screen and "The picture shows it, too. By −0.2 of the frozen." in page
    assert '<img data-figure="overview-emergence" src="data:image/png;base64,' in screen
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert "English: **found**, Arabic: **weak**" in markdown
    assert markdown.index("## What was found") < markdown.index("## The data") < markdown.index("## SAE quality")


def test_every_link_of_the_contents_leads_somewhere_and_no_name_is_used_twice(page: str) -> None:
    found = outline(page)
    assert all(link.startswith("#") and link[1:] in found.ids for link in found.links)
    assert len(found.ids) == len(set(found.ids))


def test_nothing_is_fetched(page: str) -> None:
    assert all(address.startswith("data:") for address in outline(page).addresses)
    assert "default-src 'none'" in html.unescape(page)
    ours = page.replace(script_bundle(), "")
    assert "http://" not in ours and "https://" not in ours
    assert re.findall(r"url\((?!data:)", ours) == []


def test_every_picture_says_what_it_shows(page: str) -> None:
    images = outline(page).images
    assert images and all(image["alt"] for image in images)
    assert len(re.findall(r'data-alt="[^"]+"', page)) == page.count('class="vega" data-chart=')


def test_hostile_text_is_shown_and_never_run(page: str) -> None:
    assert HOSTILE not in page
    assert "&lt;script&gt;alert" in page


def test_every_figure_is_there_once_with_a_spec_that_parses(page: str) -> None:
    specs = re.findall(r'data-spec="([^"]+)">(.*?)</script>', page, re.DOTALL)
    assert {name for name, _ in specs} >= {
        "study-genders",
        "study-sae_quality",
        "study-sae_curves",
        "overview-emergence",
    }
    assert all("config" in json.loads(text) for _, text in specs)
    assert [int(number) for number in re.findall(r"<b>Figure (\d+)\.", page)] == list(range(1, len(specs) + 1))


def test_arabic_runs_right_to_left_wherever_it_stands(page: str) -> None:
    assert f'<dd dir="rtl" lang="ar">{AR}</dd>' in page
    assert '<p class="strip" dir="rtl" lang="ar">' in page
    assert '<span class="item" dir="rtl" lang="ar">' in page
    assert '(<bdi dir="rtl" lang="ar">امرأة</bdi>, <bdi dir="rtl" lang="ar">طبيبة</bdi>)' in page


def test_words_that_an_intervention_changed_are_marked(page: str) -> None:
    assert "<mark>man</mark>" in page and "<mark>his</mark>" in page
    assert "<mark>رجل يطبخ عشاءه</mark>" in page


def test_what_was_left_out_is_counted_with_its_reason(page: str) -> None:
    assert "picture is missing" in page and "131 tokens, at most 128" in page
    assert "Evolution over layers</b>: one layer only" in page


def test_outliers_and_doubtful_layers_are_told_with_fvu_both_ways(inputs: ReportInputs, page: str, out: Path) -> None:
    words = health_words(inputs)
    assert words[0] == (
        "Outliers, rows whose norm exceeds 10 times the median of their layer, are left out of training and "
        "statistics: 3 in 1 of 3 layers, most in layer 2 (3, 0.11% of its rows, which hold 91.5% of the squared norm)."
    )
    assert words[1:] == [
        "FVU on selection rows is 0.108 without outliers and 0.061 with them in layer 2.",
        "Layer 2: the largest 0.1% of its rows hold 31.0% of the squared norm.",
    ], "three layers are too few for a correlation"
    markdown = (out / "report.md").read_text("utf-8")
    for line in words:
        assert line in page
        assert line.split(" ", 1)[1][:20] in markdown
    assert "Outliers caption Arabic" in page, "counted by segment and language"


def test_a_rank_correlation_of_gamma_and_dead_features_is_told_over_ten_layers(inputs: ReportInputs) -> None:
    gamma = np.random.default_rng(0).permutation(12).astype(float)
    health = pl.DataFrame({"layer": range(12), "gamma": gamma})
    sae = pl.DataFrame({"layer": range(12), "dead_fraction": np.exp(gamma)})
    (line,) = health_words(replace(inputs, health=health, sae=sae, row_warnings=()))
    assert "Over 12 layers" in line and "rank correlation of 1.000 [1.000, 1.000]" in line
    assert health_words(replace(inputs, health=health.head(9), sae=sae, row_warnings=())) == []


def test_an_empty_table_leaves_no_empty_panel(page: str) -> None:
    assert "Nothing was found" not in page


def test_clock_host_and_dates_stand_in_the_provenance_alone(study: SampleStudy, out: Path, tmp_path: Path) -> None:
    later = SampleStudy(tmp_path / "store", clock=1_790_000_123.0)
    write_report(collect(later.store, STUDY, later.inputs, later.skipped), tmp_path / "out")
    for name in ("report.html", "report.md"):
        first, second = (out / name).read_text("utf-8"), (tmp_path / "out" / name).read_text("utf-8")
        assert first != second
        assert without_provenance(first) == without_provenance(second)
        assert HOST not in without_provenance(first)
    assert HOST in (out / "report.html").read_text("utf-8")


def test_equal_inputs_give_equal_files(inputs: ReportInputs, out: Path, tmp_path: Path) -> None:
    write_report(inputs, tmp_path)
    first = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first


def test_the_markdowns_pictures_are_all_beside_it(out: Path) -> None:
    text = (out / "report.md").read_text("utf-8")
    names = re.findall(r"\]\(((?:figures|images)/[^)]+)\)", text)
    assert any(name.startswith("figures/overview") for name in names)
    assert any(name.startswith("images/") for name in names)
    for name in names:
        with Image.open(out / name) as image:
            image.verify()


def test_the_markdown_escapes_what_would_be_markup(out: Path) -> None:
    text = (out / "report.md").read_text("utf-8")
    assert "<script>" not in text and r"\<script\>" in text
    assert '<span dir="rtl" lang="ar">' in text


def test_every_unit_behind_the_report_is_counted(inputs: ReportInputs) -> None:
    steps = [unit.step for unit in inputs.making.units]
    assert steps.count("capture") == 1 and steps.count("train_sae") == 3
    assert inputs.making.sources == {"data": "0f" * 16, "model weights": "ab" * 16}


def test_a_missing_file_is_named(study: SampleStudy) -> None:
    wrong = {**study.inputs, "layer": [Artifact("extract_layer", "nowhere")]}
    with pytest.raises(DamagedArtifact, match="extract_layer/nowhere"):
        collect(study.store, STUDY, wrong, {})


def test_a_study_of_text_alone_has_a_report(inputs: ReportInputs, tmp_path: Path) -> None:
    text_only = ReportInputs(
        study={"name": "text", "description": ""},
        summary={"samples": 3, "images": 3, "dropped": 0, "has_images": False, "languages": ["en"]},
        samples=pl.DataFrame(
            {
                "image_id": ["a", "b"],
                "split": ["train", "test"],
                "gender_en": ["female", None],
                "gender_ar": [None, None],
            }
        ),
        dropped=inputs.dropped.clear(),
        sae=inputs.sae.head(1),
        history=inputs.history.filter(layer=0),
        health=inputs.health.head(1).drop("mean_norm_image"),
        sections=tuple(section for section in inputs.sections if section.name == "qualitative"),
        gallery=inputs.gallery,
    )
    page = write_report(text_only, tmp_path).read_text("utf-8")
    assert outline(page).images == []
    assert "Nothing was left out" in page
    assert outline(page).sections[-4:] == ["qualitative", "saes", "provenance", "skipped"]


def test_a_feature_has_one_card_those_that_are_described_first(page: str) -> None:
    titles = re.findall(r"<h3>(Layer \d+ · feature \d+)</h3>", page)
    assert titles == [
        f"Layer {key}" for key in ("19 · feature 1204", "19 · feature 311", "19 · feature 7", "8 · feature 5")
    ]
    card = page[page.index('id="feature-8-5"') : page.index('<section id="saes">')]
    assert re.findall(r'alt="([^"]+)"', card)[:2] == [
        "Image images/1.png",
        "Map of layer 8, feature 5 over images/1.png",
    ], "the untouched picture stands beside the one under heat"


def test_the_strongest_examples_come_first_and_image_tokens_say_so(page: str) -> None:
    card = page[page.index("Layer 19 · feature 1204") : page.index("Layer 19 · feature 311")]
    assert card.index("2.50") < card.index("1.50")
    assert "an image token" in card
