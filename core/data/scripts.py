"""Captions that are written in the script of another language than their column's."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from core.data.languages import LANGUAGE_NAMES
from core.data.sample_frame import Sample
from core.study.data import Columns

_OWN = {"en": "Latin", "ar": "Arabic"}
_LEAST_OWN = 0.2
"""A caption with a smaller share of letters of its own script is foreign: a brand's name in a sentence is not."""
_SHOWN = 5


def foreign_script(caption: str, language: str) -> str | None:
    """The script of most letters, where hardly any are of the language's own; null where enough are, or there is no
    letter."""
    own = _OWN[language]
    letters = Counter(_script(char) for char in unicodedata.normalize("NFKC", caption) if char.isalpha())
    if not letters or letters[own] >= _LEAST_OWN * letters.total():
        return None
    return letters.most_common(1)[0][0]


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """The first word of the letter's name: Latin, Arabic, Cyrillic, CJK …"""
    word = unicodedata.name(letter, "unknown").split()[0]
    return word if word == "CJK" else word.capitalize()


def script_notes(samples: Sequence[Sample], columns: Columns) -> list[str]:
    """What to say of captions in foreign scripts: how many of which, and in which rows; empty where there are none."""
    found = {language: _foreign(samples, language) for language in _OWN}
    arabic = {row for row, script in found["en"] if script == _OWN["ar"]}
    exchanged = sorted(arabic & {row for row, script in found["ar"] if script == _OWN["en"]})
    if len(exchanged) > len(samples) / 2:
        return [
            f"columns {columns.caption_en!r} and {columns.caption_ar!r} look exchanged: {_share(exchanged, samples)} "
            "have Arabic script for English and Latin for Arabic; exchange data.columns.caption_en and "
            "data.columns.caption_ar"
        ]
    return [
        f"column {getattr(columns, f'caption_{language}')!r} ({LANGUAGE_NAMES[language]}): {_share(rows, samples)} "
        f"have captions in {script} script; correct them, or the column"
        for language, foreign in found.items()
        for script, rows in _by_script(foreign).items()
    ]


def _foreign(samples: Sequence[Sample], language: str) -> list[tuple[int, str]]:
    """Row and script of each caption in a foreign script."""
    captions = [(sample.row, getattr(sample, f"caption_{language}") or "") for sample in samples]
    return [(row, script) for row, caption in captions if (script := foreign_script(caption, language)) is not None]


def _by_script(foreign: Sequence[tuple[int, str]]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, script in sorted(foreign):
        rows.setdefault(script, []).append(row)
    return rows


def _share(rows: Sequence[int], samples: Sequence[Sample]) -> str:
    shown = ", ".join(str(row) for row in rows[:_SHOWN]) + (", …" if len(rows) > _SHOWN else "")
    return f"{len(rows):,} of {len(samples):,} rows ({len(rows) / len(samples):.1%}; rows {shown})"
