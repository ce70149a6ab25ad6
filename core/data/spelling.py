"""A text as a reader sees it: what no reader sees is taken out, and where each character came from is kept.

Compatibility forms are unified (NFKC: ligatures, full-width and mathematical letters, Arabic presentation forms,
decomposed accents). Format characters (category Cf, the soft hyphen and the zero-width joiners among them), combining
grapheme joiners and variation selectors are removed. A word that a hyphen breaks at the end of a line is joined; the
hyphen of a compound (mother-in-law) stays.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

_UNSEEN = "\u034f\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"  # grapheme joiner, variation selectors
_IS_UNSEEN = re.compile(f"[{_UNSEEN}]")
_PLAIN = re.compile(r"[ -_a-~\u060c\u061b\u061f\u0621-\u063a\u0641-\u064a\u0660-\u0669]*")
"""ASCII and Arabic text that no two programs write differently: nearly every caption, folded at once."""
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])[-\u00ad\u2010\u2011][^\S\r\n]*(?:\r\n?|[\n\u2028])\s*(?=[^\W\d_])")
_COMPOUND_BEFORE, _COMPOUND_AFTER = re.compile(r"\w-\w+$"), re.compile(r"\w+-\w")
_APOSTROPHES = "\u2018\u2019\u201b\u02b9\u02bc\u2032\u00b4`"
_UNIFIED = str.maketrans({"\u2010": "-", "\u2011": "-", **dict.fromkeys(_APOSTROPHES, "'")})


class Folded(NamedTuple):
    """A text as it is seen, `text`; character i stands at `starts[i]` to `ends[i]` of the text as it is written."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where `text[start:end]`, which is not empty, stands in the text as it is written."""
        return self.starts[start], self.ends[end - 1]


@lru_cache(maxsize=4096)
def fold(text: str) -> Folded:
    """Fold what different programs write differently; folding twice changes nothing."""
    if _PLAIN.fullmatch(text) or (text.isascii() and "`" not in text and not _BROKEN_WORD.search(text)):
        return Folded(text, tuple(range(len(text))), tuple(range(1, len(text) + 1)))
    folded = _fold_once(text)
    while (again := _fold_once(folded.text)).text != folded.text:  # a form unified can compose with its neighbour
        starts = tuple(folded.starts[at] for at in again.starts)
        folded = Folded(again.text, starts, tuple(folded.ends[at - 1] for at in again.ends))
    return folded


def _fold_once(text: str) -> Folded:
    breaks = {at for match in _BROKEN_WORD.finditer(text) for at in range(*_left_out(text, *match.span()))}
    letters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end, cluster in _clusters(text, breaks):
        for letter in _unify(cluster):
            letters.append(letter)
            starts.append(start)
            ends.append(end)
    return Folded("".join(letters), tuple(starts), tuple(ends))


def _left_out(text: str, start: int, end: int) -> tuple[int, int]:
    """What of a line's end is left out: all of it, or what follows the hyphen of a compound."""
    before, after = _COMPOUND_BEFORE.search(text[:start]), _COMPOUND_AFTER.match(text[end:])
    is_compound = text[start] != "\u00ad" and (before or after)
    return (start + 1 if is_compound else start), end


def _clusters(text: str, breaks: set[int]) -> list[tuple[int, int, str]]:
    """Each base character with the marks that follow it; what is not seen belongs to none."""
    found: list[tuple[int, int, str]] = []
    for at, character in enumerate(text):
        if at in breaks or _is_unseen(character):
            continue
        if found and unicodedata.category(character).startswith("M"):
            start, _, cluster = found[-1]
            found[-1] = (start, at + 1, cluster + character)
        else:
            found.append((at, at + 1, character))
    return found


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) == "Cf" or _IS_UNSEEN.match(character) is not None


def _unify(cluster: str) -> str:
    if cluster in _APOSTROPHES:
        return "'"  # NFKC makes a space and a mark of ´
    if unicodedata.decomposition(cluster[0]).startswith("<super>") and not cluster[0].isalpha():
        return cluster  # ™ and ² end a word: they are no letters of it
    return unicodedata.normalize("NFKC", cluster).translate(_UNIFIED)
