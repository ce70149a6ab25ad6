"""A figure's three files: JSON (the spec), HTML (interactive, no network) and PNG (for print).

The same figure gives the same bytes: names that Altair gives by itself (some of its versions count on from figure to
figure) are numbered anew, and the font is ours.
"""

import base64
import io
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from altair.utils.schemapi import SchemaValidationError
from PIL import Image

from core.errors import first_line
from core.figures.theme import FONT, Figure, theme

PPI = 200
VEGA_LITE = alt.SCHEMA_VERSION.removeprefix("v").rsplit(".", 1)[0]
_GLOBALS = "window.vegaEmbed=vegaEmbed;"
_GIVEN = re.compile(r"\b(param|view)_[0-9a-f]+(?:_\d+)?\b")
_UNDRAWABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_TRANSFORMERS = threading.Lock()  # Altair's data transformer is one a process

Spec = dict[str, Any]


@dataclass(frozen=True)
class FigureFile:
    """A figure as it lies on disk: `NAME.json` and `NAME.png`, and what stands under it."""

    name: str
    spec: Path
    png: Path
    caption: str
    alt: str


def write_figure(figure: Figure, name: str, folder: Path) -> FigureFile:
    """Write `name.json`, `name.html` and `name.png` into `folder`.

    Raises:
        ValueError: the chart is not a valid Vega-Lite spec; the message names the figure.
    """
    try:
        spec = to_spec(figure)
        png = to_png(spec)
    except (ValueError, SchemaValidationError) as error:
        raise ValueError(f"figure {name}: the chart cannot be drawn ({first_line(error)})") from error
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(spec_text(spec), encoding="utf-8")
    (folder / f"{name}.html").write_text(to_html(spec, name), encoding="utf-8")
    (folder / f"{name}.png").write_bytes(png)
    return FigureFile(name, folder / f"{name}.json", folder / f"{name}.png", figure.caption, figure.alt)


def read_figures(folder: Path) -> list[FigureFile]:
    """The figures that `write_figure` left in `folder`, in order of name; none where there is no folder."""
    found = []
    for spec in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        words = json.loads(spec.read_text(encoding="utf-8")).get("usermeta", {}).get("saeflow")
        if words:
            found.append(FigureFile(spec.stem, spec, spec.with_suffix(".png"), words["caption"], words["alt"]))
    return found


def spec_text(spec: Spec) -> str:
    """The spec as it is written: JSON with sorted keys."""
    return json.dumps(spec, sort_keys=True, ensure_ascii=False, indent=1) + "\n"


def to_spec(figure: Figure) -> Spec:
    """The figure's Vega-Lite spec with the theme, its caption under `usermeta`, and no counted names."""
    with _TRANSFORMERS, alt.data_transformers.enable("default", max_rows=None), alt.theme.enable("none"):
        spec: Spec = figure.chart.to_dict()
    data = spec.pop("datasets", None)
    given = dict.fromkeys(_given_names(spec))
    spec = _renamed(spec, {name: f"{name.split('_')[0]}_{number}" for number, name in enumerate(given)})
    _colour_points(spec)
    if data is not None:
        spec["datasets"] = data
    spec["config"] = _merged(theme(), spec.get("config", {}))
    spec["description"] = figure.alt or figure.caption
    spec["usermeta"] = {"saeflow": {"caption": figure.caption, "alt": figure.alt or figure.caption}}
    drawable: Spec = _visible(spec)
    return drawable


def _visible(value: Any) -> Any:
    """The spec with what no SVG may hold (byte tokens bring it, and vl-convert dies of it) written as an escape."""
    if isinstance(value, str):
        return _UNDRAWABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
    if isinstance(value, dict):
        return {key: _visible(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_visible(item) for item in value]
    return value


def _given_names(value: Any) -> Iterator[str]:
    """The names that Altair gave parameters and views itself, in the order they stand in."""
    if isinstance(value, dict):
        name = value.get("name")
        if isinstance(name, str) and _GIVEN.fullmatch(name):
            yield name
        for item in value.values():
            yield from _given_names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _given_names(item)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with every one of `names` replaced, inside expressions too."""
    if isinstance(value, dict):
        return {_renamed(key, names): _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return _GIVEN.sub(lambda hit: names.get(hit[0], hit[0]), value) if isinstance(value, str) else value


def _colour_points(value: Any) -> None:
    """Give a line's points the line's own colour, which Vega-Lite does for encoded colours only."""
    if isinstance(value, dict):
        if value.get("point") is True and "color" in value:
            value["point"] = {"color": value["color"]}
        for item in value.values():
            _colour_points(item)
    elif isinstance(value, list):
        for item in value:
            _colour_points(item)


def _merged(under: Spec, over: Spec) -> Spec:
    both = {key: _merged(under[key], over[key]) for key in under if isinstance(over.get(key), dict)}
    return {**under, **over, **both}


def to_png(spec: Spec) -> bytes:
    """The spec drawn at 200 dpi with our font; reads nothing from any address."""
    register_fonts()
    png = vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, ppi=PPI, allowed_base_urls=[])
    packed = (
        io.BytesIO()
    )  # the renderer hardly compresses, and writes an alpha channel that a white page has no use for
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(packed, "PNG", compress_level=6, dpi=(PPI, PPI))
    return packed.getvalue()


@cache
def register_fonts() -> None:
    """Let the renderer know our font."""
    with as_file(files("core.figures") / "fonts") as folder:
        vl_convert.register_font_directory(str(folder))


@cache
def script_bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script that needs no network."""
    bundle: str = vl_convert.javascript_bundle(_GLOBALS, vl_version=VEGA_LITE)
    return bundle.replace("</script", r"<\/script")


@cache
def font_faces(weights: tuple[str, ...] = ("Regular", "Bold")) -> str:
    """CSS that carries the font itself, as data addresses."""
    return "\n".join(_font_face(weight) for weight in weights)


def _font_face(weight: str) -> str:
    content = (files("core.figures") / "fonts" / f"SaeflowSans-{weight}.woff2").read_bytes()
    number = {"Regular": 400, "Bold": 700}[weight]
    address = f"data:font/woff2;base64,{base64.b64encode(content).decode()}"
    return f'@font-face{{font-family:"{FONT}";font-weight:{number};src:url({address}) format("woff2")}}'


def script_json(value: Any) -> str:
    """JSON that is safe between script tags, whatever stands in it."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


# The policy lets nothing be fetched, whatever a spec may say; Vega compiles its expressions, hence unsafe-eval.
POLICY = (
    "default-src 'none'; img-src data: blob:; font-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'unsafe-eval'"
)
EMBED_OPTIONS = {
    "mode": "vega-lite",  # told, for vega-embed takes a `concat` without a schema for Vega, and draws nothing
    "actions": {"export": True, "source": False, "compiled": False, "editor": False},
    "renderer": "svg",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{name}</title><style>{fonts}
body{{font-family:"{font}",sans-serif;margin:1.5rem;color:#1f2328}}p{{max-width:48rem;line-height:1.5}}</style></head>
<body><figure><div id="chart"></div><figcaption><p id="caption"></p></figcaption></figure>
<script>{bundle}</script>
<script>const spec={spec};
document.getElementById("caption").textContent=spec.usermeta.saeflow.caption;
document.fonts.load('12px "{font}"',"aد").then(()=>vegaEmbed("#chart",spec,{options}));</script></body></html>
"""


def to_html(spec: Spec, name: str) -> str:
    """A page of its own with the interactive chart: libraries, font and data inside."""
    return _PAGE.format(
        policy=POLICY,
        name=name,
        fonts=font_faces(("Regular",)),
        font=FONT,
        bundle=script_bundle(),
        spec=script_json(spec),
        options=script_json(EMBED_OPTIONS),
    )
