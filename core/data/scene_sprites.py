"""The sprite sheet that ships with the package: real Noto emoji art, so that the generator needs no font."""

import json
from functools import cache
from importlib.resources import files

from PIL import Image


@cache
def sprite(name: str, side: int) -> Image.Image:
    """Return one sprite (RGBA), scaled so that its longer side is `side`.

    Names are `person/<profession>/<woman|man|neutral>/<skin tone>`, `object/<object>/<colour>` and `place/<place>`.
    """
    sheet, index = _sheet()
    x, y, width, height = index[name]
    art = sheet.crop((x, y, x + width, y + height))
    scale = side / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return art if size == art.size else art.resize(size, Image.Resampling.LANCZOS)


@cache
def _sheet() -> tuple[Image.Image, dict[str, list[int]]]:
    folder = files("core.data") / "sprites"
    with (folder / "sheet.png").open("rb") as stream:
        sheet = Image.open(stream).convert("RGBA")
    return sheet, json.loads((folder / "sheet.json").read_text(encoding="utf-8"))
