"""What the pages of reports share: figures that need no network, and the templates with font, styles and script."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from core.figures.dark import dark_rules
from core.figures.theme import FONT
from core.figures.writers import EMBED_OPTIONS, POLICY, FigureFile, font_faces, script_bundle, script_json

MOST_INTERACTIVE_ROWS = 3000
"""A chart of more rows is drawn on a canvas: as SVG it would hold up the page."""


@dataclass(frozen=True)
class FigureView:
    """A figure on the page, numbered; `spec` is safe between script tags."""

    number: int
    key: str
    caption: str
    alt: str
    spec: Markup
    options: Markup
    height: int


def figure_view(number: int, key: str, figure: FigureFile) -> FigureView:
    """A figure as the page shows it.

    Raises:
        ValueError: its JSON is broken.
    """
    spec = json.loads(figure.spec.read_text(encoding="utf-8"))
    spec.pop("$schema", None)
    rows = sum(len(rows) for rows in spec.get("datasets", {}).values())
    options = {**EMBED_OPTIONS, "renderer": "svg" if rows <= MOST_INTERACTIVE_ROWS else "canvas"}
    return FigureView(
        number=number,
        key=key,
        caption=figure.caption,
        alt=figure.alt or figure.caption,
        spec=Markup(script_json(spec)),
        options=Markup(script_json({**options, "downloadFileName": key})),
        height=_height(spec),
    )


def _height(spec: Mapping[str, Any]) -> int:
    """Room kept for a chart before it is drawn, so that links into the page hold; 0 where it is not known."""
    height = spec.get("height", 0)
    inner = [_height(part) for key in ("hconcat", "layer") for part in spec.get(key, [])]
    stacked = sum(_height(part) + 60 for part in spec.get("vconcat", []))
    return max([height if isinstance(height, int) else 0, stacked, *inner])


def templates() -> jinja2.Environment:
    """The reports' templates, with what each page carries inside it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("core.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    styles = (files("core.report") / "templates" / "report.css").read_text(encoding="utf-8")
    script = (files("core.report") / "templates" / "report.js").read_text(encoding="utf-8")
    environment.globals |= {
        "policy": POLICY,
        "font": FONT,
        "fonts": Markup(font_faces()),
        "styles": Markup(f"{styles}\n{dark_rules(':is(.vega,.answer)')}"),
        "bundle": Markup(script_bundle()),
        "script": Markup(script),
    }
    return environment
