"""Merge Latin, Greek, mathematics and Arabic of Noto Sans into one family, "Saeflow Sans".

    apt-get download fonts-noto-core && dpkg-deb -x fonts-noto-core_*.deb noto
    pip install fonttools brotli
    python -m infra.fonts.merge noto/usr/share/fonts/truetype/noto core/figures/fonts

One family with every script in it, because which font fills a gap otherwise depends on the machine: the figures' bytes
would, too. Noto Sans has no reserved font name; the new name only keeps it apart from a Noto that is installed.
"""

import argparse
import tempfile
from pathlib import Path

from fontTools.merge import Merger  # type: ignore[import-untyped]
from fontTools.subset import Options, Subsetter  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

FAMILY = "Saeflow Sans"
LATIN = [(0x20, 0x7E), (0xA0, 0x17F), (0x2B0, 0x2DD), (0x300, 0x304), (0x370, 0x3FF), (0x1E00, 0x1EFF)]
PUNCTUATION = [(0x2010, 0x2027), (0x2030, 0x203A), (0x2070, 0x209C), (0x20AC, 0x20AC), (0x2100, 0x2126)]
ARABIC = [(0x600, 0x6FF), (0x750, 0x77F), (0x200C, 0x200F), (0xFB50, 0xFDFD), (0xFE70, 0xFEFC)]
SYMBOLS = [(0x2190, 0x2195), (0x21A9, 0x21AA), (0x2200, 0x226B), (0x2016, 0x2016), (0x2113, 0x2113)]
BLOCKS = [(0x2423, 0x2423), (0x25A0, 0x25CF)]
ALIASES = {0x2581: 0x5F, 0x21B5: 0x21A9}  # ▁, which sentencepiece writes for a space, and ↵
SOURCES = {
    "NotoSans": LATIN + PUNCTUATION,
    "NotoSansArabic": ARABIC,
    "NotoSansMath": SYMBOLS,
    "NotoSansSymbols2": BLOCKS,
}


def cut(path: Path, ranges: list[tuple[int, int]], taken: set[int], out: Path) -> set[int]:
    """Write the glyphs of `ranges` that are not `taken` yet, without hints; return the characters written."""
    font = TTFont(path, recalcTimestamp=False)
    wanted = {code for low, high in ranges for code in range(low, high + 1)} & set(font.getBestCmap()) - taken
    options = Options()
    options.hinting = False
    options.layout_features = ["*"]
    options.drop_tables += ["MATH", "DSIG"]
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=wanted)
    subsetter.subset(font)
    font.save(out)
    return wanted


def rename(font: TTFont, weight: str) -> None:
    """Give the family our name, keeping copyright and licence."""
    full = f"{FAMILY} {weight}"
    names = {1: FAMILY, 2: weight, 3: full, 4: full, 6: full.replace(" ", ""), 16: FAMILY, 17: weight}
    for number, text in names.items():
        font["name"].setName(text, number, 3, 1, 0x409)
    font["head"].created = font["head"].modified = 3660000000


def build(noto: Path, out: Path, weight: str) -> None:
    """Write one weight as TTF (for PNGs) and WOFF2 (for HTML)."""
    with tempfile.TemporaryDirectory() as scratch:
        taken: set[int] = set()
        parts = []
        for family, ranges in SOURCES.items():
            source = noto / f"{family}-{weight}.ttf"
            part = Path(scratch) / f"{family}.ttf"
            taken |= cut(source if source.exists() else noto / f"{family}-Regular.ttf", ranges, taken, part)
            parts.append(str(part))
        font = Merger().merge(parts)
    for table in font["cmap"].tables:
        table.cmap.update({new: table.cmap[old] for new, old in ALIASES.items() if old in table.cmap})
    font.recalcTimestamp = False
    rename(font, weight)
    font.save(out / f"SaeflowSans-{weight}.ttf")
    font.flavor = "woff2"
    font.save(out / f"SaeflowSans-{weight}.woff2")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("noto", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    for name in ("Regular", "Bold"):
        build(arguments.noto, arguments.out, name)
