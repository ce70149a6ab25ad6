import io
import json
import re
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl
import pytest
from PIL import Image

from core.figures import Figure, read_figures, write_figure
from core.figures.theme import FONT, HALF, language_colour, layer_x
from core.figures.writers import script_bundle, script_json, to_png, to_spec

TABLE = pl.DataFrame({"layer": [0, 1, 0, 1], "language": ["en", "en", "ar", "ar"], "auroc": [0.5, 0.9, 0.5, 0.8]})


def curve() -> Figure:
    reach = alt.param(value=1, bind=alt.binding_range(min=0, max=2))
    brush = alt.selection_interval(encodings=["x"])
    chart = (
        alt.Chart(TABLE).mark_line().encode(x=layer_x(), y="auroc:Q", color=language_colour()).add_params(brush, reach)
    )
    return Figure(
        (chart.properties(width=HALF) | alt.Chart(TABLE).mark_bar().encode(x=layer_x())), "By layer </script>."
    )


def ink(text: str) -> np.ndarray:
    """Where a line of text leaves ink: booleans [height, width]."""
    chart = alt.Chart(pl.DataFrame({"text": [text]})).mark_text(fontSize=40).encode(text="text:N")
    png = to_png(to_spec(Figure(chart.properties(width=300, height=80), "")))
    return np.asarray(Image.open(io.BytesIO(png)).convert("L")) < 128


def runs(marks: np.ndarray) -> list[tuple[int, int]]:
    """Spans of columns with ink, from left to right."""
    columns = np.flatnonzero(np.diff(np.concatenate([[0], marks.any(axis=0).astype(int), [0]])))
    return list(zip(columns[::2].tolist(), columns[1::2].tolist()))


def test_the_same_figure_gives_the_same_bytes_however_many_were_drawn_before(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        write_figure(curve(), "curve", tmp_path / folder)
    for suffix in ("json", "html", "png"):
        name = f"curve.{suffix}"
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_what_was_written_is_found_again_with_its_caption(tmp_path: Path) -> None:
    written = write_figure(curve(), "curve", tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    found = read_figures(tmp_path)
    assert [figure.name for figure in found] == ["curve"]
    assert found[0].spec == written.spec and found[0].caption == "By layer </script>."
    assert read_figures(tmp_path / "nowhere") == []


def test_the_page_can_fetch_nothing_and_data_cannot_end_its_script(tmp_path: Path) -> None:
    write_figure(curve(), "curve", tmp_path)
    page = (tmp_path / "curve.html").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page.replace(script_bundle(), ""))
    assert "By layer </script>" not in page
    assert json.loads(script_json("</script>&<!--")) == "</script>&<!--"


def test_given_names_inside_the_data_stay_as_they_are() -> None:
    table = pl.DataFrame({"name": ["param_7", "view_9"], "value": [1, 2]})
    spec = to_spec(
        Figure(alt.Chart(table).mark_bar().encode(x="value:Q", y="name:N").add_params(alt.param(value=3)), "")
    )
    assert [row["name"] for rows in spec["datasets"].values() for row in rows] == ["param_7", "view_9"]
    assert spec["params"][0]["name"] == "param_0"


def test_a_chart_keeps_its_own_settings_over_the_theme() -> None:
    chart = alt.Chart(TABLE).mark_point().encode(x="layer:Q").configure_axis(labelFontSize=30)
    config = to_spec(Figure(chart, ""))["config"]
    assert config["axis"]["labelFontSize"] == 30 and config["axis"]["labelFont"] == FONT


def test_more_rows_than_altair_allows_are_drawn() -> None:
    table = pl.DataFrame({"x": range(6000)})
    assert len(to_spec(Figure(alt.Chart(table).mark_point().encode(x="x:Q"), ""))["datasets"]) == 1


def test_a_chart_that_cannot_be_drawn_is_named(tmp_path: Path) -> None:
    chart = alt.Chart.from_dict({"data": {"values": []}, "mark": "bar", "encoding": {}}, validate=False)
    chart.mark = "no-such-mark"
    with pytest.raises(ValueError, match="figure broken"):
        write_figure(Figure(chart, ""), "broken", tmp_path)


def test_arabic_letters_are_joined() -> None:
    joined, apart = runs(ink("ببب")), runs(ink("ب\u200cب\u200cب"))
    assert len(joined) == 1 and len(apart) == 3
    assert joined[-1][1] - joined[0][0] < apart[-1][1] - apart[0][0]


def test_arabic_runs_from_right_to_left() -> None:
    # Alef stands first in the text and joins nothing to its left: it must be the narrow stroke at the right.
    left, right = runs(ink("ابب"))
    assert right[1] - right[0] < (left[1] - left[0]) / 3


def test_an_arabic_caption_inside_an_english_line_keeps_the_lines_order() -> None:
    marks = ink("x ببب")
    first = runs(marks)[0]
    assert first[1] - first[0] < (runs(marks)[-1][1] - runs(marks)[-1][0])


def test_one_missing_glyph_does_not_change_the_font_of_a_line() -> None:
    # Sentencepiece's ▁ and the mathematics of axis titles are in the font: no fallback that depends on the machine.
    assert np.array_equal(ink("▁"), ink("_"))


def test_control_characters_of_byte_tokens_are_written_out(tmp_path: Path) -> None:
    chart = (
        alt.Chart(pl.DataFrame({"token": ["\x06", "a\x00b", "\x9f"], "n": [1, 2, 3]}))
        .mark_bar()
        .encode(y="token:N", x="n:Q")
    )
    written = write_figure(Figure(chart, "Bytes."), "bytes", tmp_path)
    assert "\\\\x06" in written.spec.read_text(encoding="utf-8")
    assert written.png.stat().st_size > 1000
