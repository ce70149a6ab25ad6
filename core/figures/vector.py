"""A figure as a vector file that looks the same on every machine: PDF with its font inside, SVG with text as outlines.

An SVG may carry a font as CSS, but Inkscape, Illustrator and word processors read none from there. Text in our own
font therefore becomes outlines, and its words stay as `aria-label`. Characters that the font lacks stay text.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import vl_convert

from core.errors import BadInput
from core.figures.theme import FONT
from core.figures.writers import VEGA_LITE, Spec, register_fonts, spec_text, to_html, to_png

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_LEFT_TO_RIGHT = "\u200e"  # SVG lays every line out from left to right, the outlines' library by its first letter
_HIGH = 100.0  # the height in px that outlines are read at
_END = "\u200e|"  # its place is where the line ends
_SHARE_BEFORE = {"start": 0.0, "middle": 0.5, "end": 1.0}
_OF_TEXT = ("font-family", "font-size", "font-weight", "font-style", "text-anchor")
_COUNTED = re.compile(r"([a-z]+_?)\d+")
_BOLD = ("bold", "600", "700", "800", "900")

ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", _XLINK)


def to_pdf(spec: Spec) -> bytes:
    """The spec as a PDF of one page: text is text, in the part of our font that it needs."""
    register_fonts()
    pdf: bytes = vl_convert.vegalite_to_pdf(spec, vl_version=VEGA_LITE, allowed_base_urls=[])
    return pdf


def to_svg(spec: Spec) -> str:
    """The spec as an SVG whose text is drawn as outlines: it needs no font and reads nothing from any address."""
    root = ElementTree.fromstring(plain_svg(spec))
    for text in list(root.iter(f"{{{_SVG}}}text")):
        _outline(text)
    _renumber(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def plain_svg(spec: Spec) -> str:
    """The spec as Vega's own SVG: text stays text, and is drawn in whatever font the reader's machine has."""
    register_fonts()
    svg: str = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[])
    return svg


_WRITERS: dict[str, Callable[[Spec, str], str | bytes]] = {
    "svg": lambda spec, name: to_svg(spec),
    "pdf": lambda spec, name: to_pdf(spec),
    "png": lambda spec, name: to_png(spec),
    "html": to_html,
    "json": lambda spec, name: spec_text(spec),
}
FORMATS = tuple(_WRITERS)
"""What a figure can be saved as: the last part of the file's name."""


def save_figure(spec: Path, path: Path) -> Path:
    """Write the figure of a spec's file to `path`, as what its name ends in; a file there is replaced.

    Raises:
        BadInput: the name ends in none of `FORMATS`.
        OSError: the folder is missing, or cannot be written to.
    """
    write = _WRITERS.get(path.suffix.removeprefix(".").lower())
    if write is None:
        raise BadInput(f"{path}: a figure is saved as {', '.join(FORMATS)}, by the end of the file's name")
    content = write(json.loads(spec.read_text(encoding="utf-8")), path.stem)
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def _renumber(root: ElementTree.Element) -> None:
    """Count clips and gradients from 0: the renderer counts on from figure to figure."""
    names: dict[str, str] = {}
    for element in root.iter():
        if counted := _COUNTED.fullmatch(element.get("id", "")):
            names[counted[0]] = f"{counted[1]}{len(names)}"
            element.set("id", names[counted[0]])
    for element in root.iter():
        for attribute in ("fill", "stroke", "clip-path"):
            if (name := element.get(attribute, "")[5:-1]) in names:
                element.set(attribute, f"url(#{names[name]})")


def _outline(text: ElementTree.Element) -> None:
    """Turn a text element into a path of the same place, colour and words, if our font has all its characters."""
    lines = [(0.0, " ".join(text.text.split()))] if text.text else list(_lines(text))
    words = " ".join(line for _, line in lines)
    if not words:
        text.tag = f"{{{_SVG}}}g"  # a label that Vega left empty
        return
    if text.get("font-family", "").strip("\"'") != FONT:
        return
    font = _font("Bold" if text.get("font-weight") in _BOLD else "Regular")
    if not font.has(words):
        return
    size = float(text.get("font-size", "11").removesuffix("px"))
    before = _SHARE_BEFORE[text.get("text-anchor", "start")]
    outlines = " ".join(font.outlines(line, size, before, down) for down, line in lines)
    for child in list(text):
        text.remove(child)
    for name in _OF_TEXT:
        text.attrib.pop(name, None)
    text.tag, text.text = f"{{{_SVG}}}path", None
    text.set("d", outlines)
    text.attrib.setdefault("aria-label", words)


def _lines(text: ElementTree.Element) -> Iterator[tuple[float, str]]:
    """The lines of a text of several, each with its distance below the first, as Vega writes them."""
    down = 0.0
    for line in text.iter(f"{{{_SVG}}}tspan"):
        down += float(line.get("dy", "0").removesuffix("px"))
        yield down, " ".join((line.text or "").split())


class _Font:
    """One weight of our font, shaped by HarfBuzz: Arabic letters are joined and run from right to left."""

    def __init__(self, weight: str) -> None:
        # Not matplotlib's public TextPath: its import looks through the machine's fonts and keeps a list of them.
        from matplotlib.ft2font import FT2Font, LoadFlags

        self._font = FT2Font(str(files("core.figures") / "fonts" / f"SaeflowSans-{weight}.ttf"))
        self._font.set_size(_HIGH, 72)
        self._unhinted = LoadFlags.NO_HINTING
        self._known = set(self._font.get_charmap())

    def has(self, words: str) -> bool:
        return self._known.issuperset(map(ord, words))

    def outlines(self, line: str, size: float, before: float, down: float) -> str:
        """Path data of a line `size` px high, `before` of whose width stands left of 0, with its baseline at `down`."""
        placed = self._font._layout(f"{_LEFT_TO_RIGHT}{line}{_END}", self._unhinted)
        scale, width = size / _HIGH, placed[-1].x  # the last glyph is _END
        said = []
        for glyph in placed[:-1]:
            self._font.load_glyph(glyph.glyph_index, flags=self._unhinted)
            place = (scale * (glyph.x - before * width), down - scale * glyph.y)
            said.append(_commands(*self._font.get_path(), scale, place))
        return "".join(said)


@cache
def _font(weight: str) -> _Font:
    return _Font(weight)


_LETTER = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
"""SVG's commands by matplotlib's codes, which stand once per point: a curve's are repeated."""
_POINTS = {1: 1, 2: 1, 3: 2, 4: 3, 79: 1}


def _commands(points: Any, codes: Any, scale: float, place: tuple[float, float]) -> str:
    """A glyph's path data: `points` [P, 2] with y upwards, scaled and moved to `place` with y downwards."""
    moved = points * (scale, -scale) + place
    said, at = [], 0
    while at < len(codes):
        code = int(codes[at])
        ends = at + _POINTS[code]
        numbers = "" if code == 79 else " ".join(f"{x:.2f},{y:.2f}" for x, y in moved[at:ends])
        said.append(_LETTER[code] + numbers)
        at = ends
    return "".join(said)
