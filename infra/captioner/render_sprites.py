"""Render the sprite sheet of the known-answer world once from Noto Color Emoji; the generator needs no font after it.

Run by hand, with Debian's `fonts-noto-color-emoji` installed and Pillow built with Raqm (its wheels are):
    python -m infra.captioner.render_sprites --font NotoColorEmoji.ttf --out core/data/sprites
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

from core.data.scene_lexicon import COLOURS, OBJECTS, PLACES, PROFESSIONS, SKIN_TONES, VISIBLE, Profession

ZWJ = "\u200d"
TONE = dict(zip(SKIN_TONES, ("🏻", "🏽", "🏿"), strict=True))
PERSON = dict(zip(VISIBLE, ("👩", "👨", "🧑"), strict=True))
SIGN = {"woman": ZWJ + "♀️", "man": ZWJ + "♂️", "neutral": ""}
BITMAP_SIZE = 109
"""The one size that the font's bitmaps come in."""
PERSON_SIDE, OBJECT_SIDE, PLACE_SIDE = 52, 28, 32
SHEET_WIDTH = 1040
HUE = {"red": 0.0, "yellow": 0.145, "green": 0.36, "blue": 0.6, "purple": 0.78}
VALUE_POWER = {"red": 0.9, "yellow": 0.35, "green": 1.0, "blue": 0.75, "purple": 0.9}
VALUE_SCALE = {"red": 0.95, "yellow": 1.0, "green": 0.8, "blue": 1.0, "purple": 0.9}


def person_sequence(profession: Profession, visible: str, tone: str) -> str:
    """Return the emoji sequence of one person."""
    if profession.joins_person:
        return PERSON[visible] + TONE[tone] + ZWJ + profession.emoji
    return profession.emoji.removesuffix("\ufe0f") + TONE[tone] + SIGN[visible]


def draw_glyph(font: ImageFont.FreeTypeFont, sequence: str, side: int) -> Image.Image:
    """Draw one emoji, cropped to its ink and scaled so that its longer side is `side`."""
    if font.getlength(sequence) > 150:
        raise ValueError(f"the font has no single glyph for {sequence!r}")
    canvas = Image.new("RGBA", (150, 150), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((0, 10), sequence, font=font, embedded_color=True)
    ink = canvas.crop(canvas.getbbox())
    scale = side / max(ink.size)
    return ink.resize((max(1, round(ink.width * scale)), max(1, round(ink.height * scale))), Image.Resampling.LANCZOS)


def tint(sprite: Image.Image, colour: str) -> Image.Image:
    """Turn the saturated pixels of a sprite to `colour`; greys, whites and outlines stay."""
    hsv = np.asarray(sprite.convert("RGB").convert("HSV")).astype(np.float32) / 255
    coloured = hsv[..., 1] > 0.1
    value = hsv[..., 2] ** VALUE_POWER[colour] * VALUE_SCALE[colour]
    hsv[..., 0] = np.where(coloured, HUE[colour], hsv[..., 0])
    hsv[..., 1] = np.where(coloured, np.clip(hsv[..., 1] * 1.15, 0.65, 1), hsv[..., 1])
    hsv[..., 2] = np.where(coloured, value, hsv[..., 2])
    rgb = Image.fromarray((hsv * 255).round().astype(np.uint8), "HSV").convert("RGB")
    rgb.putalpha(sprite.getchannel("A"))
    return rgb


def all_sprites(font: ImageFont.FreeTypeFont) -> dict[str, Image.Image]:
    """Return every sprite of the world by name, in a fixed order."""
    sprites = {
        f"person/{profession.name}/{visible}/{tone}": draw_glyph(
            font, person_sequence(profession, visible, tone), PERSON_SIDE
        )
        for profession in PROFESSIONS
        for visible in VISIBLE
        for tone in SKIN_TONES
    }
    for thing in OBJECTS:
        plain = draw_glyph(font, thing.emoji, OBJECT_SIDE)
        sprites |= {f"object/{thing.name}/{colour}": tint(plain, colour) for colour in COLOURS}
    return sprites | {f"place/{place.name}": draw_glyph(font, place.emoji, PLACE_SIDE) for place in PLACES}


def pack(sprites: dict[str, Image.Image]) -> tuple[Image.Image, dict[str, list[int]]]:
    """Lay the sprites out in rows; return the sheet and each sprite's `[x, y, width, height]`."""
    places: dict[str, list[int]] = {}
    x = y = row = 0
    for name, sprite in sprites.items():
        if x + sprite.width > SHEET_WIDTH:
            x, y, row = 0, y + row, 0
        places[name] = [x, y, sprite.width, sprite.height]
        x, row = x + sprite.width, max(row, sprite.height)
    sheet = Image.new("RGBA", (SHEET_WIDTH, y + row), (0, 0, 0, 0))
    for name, sprite in sprites.items():
        sheet.paste(sprite, tuple(places[name][:2]))
    return sheet, places


def main() -> None:
    """Write `sheet.png` and `sheet.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--font", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if not features.check("raqm"):
        raise SystemExit("Pillow without Raqm draws emoji sequences as separate glyphs; install the wheel from PyPI")
    font = ImageFont.truetype(str(options.font), BITMAP_SIZE, layout_engine=ImageFont.Layout.RAQM)
    sheet, places = pack(all_sprites(font))
    sheet.save(options.out / "sheet.png", optimize=True)
    (options.out / "sheet.json").write_text(json.dumps(places, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
