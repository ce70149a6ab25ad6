"""Vector files of figures: they parse, hold what they draw, need no font, and look as the PNG does."""

import io
import re
import zlib
from pathlib import Path
from xml.etree import ElementTree

import altair as alt
import numpy as np
import polars as pl
import pytest
import vl_convert
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from PIL import Image

from core.errors import BadInput
from core.figures import Figure, write_figure
from core.figures.theme import HALF
from core.figures.vector import FORMATS, plain_svg, save_figure, to_pdf, to_svg
from core.figures.writers import Spec, to_spec

WORDS = ["معلمة", "doctor", "ببب x", "▁the", "لا (ابب) 12"]
TABLE = pl.DataFrame({"word": WORDS, "shift": [-1.5, 2.0, 0.25, 3.0, 1.0]})


def chart() -> alt.LayerChart:
    """Bars by word, Arabic among them: a gradient, a bold line of text, a turned one, and a title of two lines."""
    base = alt.Chart(TABLE).encode(
        y=alt.Y("word:N", title="الكلمة word", sort=None), x=alt.X("shift:Q", title="Δ, nats")
    )
    bars = base.mark_bar(clip=True).encode(color="shift:Q")
    text = base.mark_text(align="left", dx=4, fontWeight="bold").encode(text="word:N")
    return (bars + text).properties(width=HALF, height=160, title=["Shift − by word", "second line"])


@pytest.fixture(scope="module")
def spec() -> Spec:
    return to_spec(Figure(chart(), "Shift by word."))


def drawn(svg: str) -> np.ndarray:
    """The SVG as grey levels [height, width], drawn by a renderer that shapes and lays out text by itself."""
    with Image.open(io.BytesIO(vl_convert.svg_to_png(svg, ppi=200))) as image:
        return np.asarray(image.convert("L")).astype(int)


def test_an_svg_s_outlines_are_the_text_that_another_shaper_draws(spec: Spec) -> None:
    outlined, text = drawn(to_svg(spec)), drawn(plain_svg(spec))
    assert outlined.shape == text.shape and (text < 128).mean() > 0.01
    differing = np.abs(outlined - text)
    assert differing.mean() < 0.05 and (differing > 96).sum() == 0


def test_an_svg_holds_no_text_needs_no_font_and_keeps_its_words(spec: Spec) -> None:
    svg = to_svg(spec)
    root = ElementTree.fromstring(svg)
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert "text" not in names and "image" not in names and "font-family" not in svg and "href" not in svg
    spoken = {element.get("aria-label") for element in root.iter()}
    assert {"الكلمة word", "Shift − by word second line", *WORDS} <= spoken
    assert all(re.fullmatch(r"[MLQCZhv0-9,. \-]*", path.get("d", "")) for path in root.iter() if path.get("d"))


def test_equal_figures_give_equal_svgs_however_many_were_drawn_before(spec: Spec) -> None:
    first = to_svg(spec)
    assert to_svg(spec) == first and "gradient_0" in first
    used = set(re.findall(r"url\(#([^)]+)\)", first))
    assert used and used <= set(re.findall(r'id="([^"]+)"', first))


def test_a_character_that_the_font_lacks_stays_text() -> None:
    table = pl.DataFrame({"word": ["cat", "猫"], "n": [1, 2]})
    svg = to_svg(to_spec(Figure(alt.Chart(table).mark_bar().encode(y="word:N", x="n:Q"), "")))
    left = [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]
    assert left == ["猫"]


def test_an_empty_label_is_no_text() -> None:
    axis = alt.Axis(labelExpr="''")
    svg = to_svg(to_spec(Figure(alt.Chart(TABLE).mark_bar().encode(x=alt.X("shift:Q", title=None, axis=axis)), "")))
    assert "<text" not in svg


def test_a_pdf_carries_the_glyphs_that_it_draws_and_their_letters(spec: Spec) -> None:
    streams = unpacked(to_pdf(spec))
    fonts = [TTFont(io.BytesIO(stream)) for stream in streams if stream.startswith((b"\x00\x01\x00\x00", b"true"))]
    assert len(fonts) == 2  # regular and bold
    glyphs = [font["glyf"][name].numberOfContours for font in fonts for name in font.getGlyphOrder()]
    assert sum(count != 0 for count in glyphs) > 30
    letters = {int(code[:4], 16) for stream in streams if b"beginbfchar" in stream for code in unicodes(stream)}
    assert {ord(letter) for letter in "معلمة"} <= letters and {ord(letter) for letter in "doctor"} <= letters


def unpacked(pdf: bytes) -> list[bytes]:
    """The streams of a PDF, decompressed where they are compressed."""
    assert pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF")
    found = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    return [zlib.decompress(stream) if stream[:1] == b"\x78" else stream for stream in found]


def unicodes(stream: bytes) -> list[str]:
    return [code.decode() for code in re.findall(rb"<[0-9A-Fa-f]+>\s*<([0-9A-Fa-f]+)>", stream)]


@pytest.mark.parametrize("format_", FORMATS)
def test_a_figure_is_saved_by_the_end_of_the_name(tmp_path: Path, format_: str) -> None:
    figure = write_figure(Figure(chart(), "Shift by word."), "shift", tmp_path / "there")
    path = save_figure(figure.spec, tmp_path / f"shift.{format_.upper()}")
    begins = {"svg": b"<svg", "pdf": b"%PDF-", "png": b"\x89PNG", "html": b"<!doctype html>", "json": b"{"}[format_]
    assert path.read_bytes().startswith(begins)
    if (there := tmp_path / "there" / f"shift.{format_}").exists():
        assert path.read_bytes() == there.read_bytes()


def test_a_format_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    figure = write_figure(Figure(chart(), "Shift by word."), "shift", tmp_path)
    with pytest.raises(BadInput, match=r"x\.eps: a figure is saved as svg, pdf, png, html, json") as refused:
        save_figure(figure.spec, tmp_path / "x.eps")
    assert "\n" not in str(refused.value) and not (tmp_path / "x.eps").exists()
