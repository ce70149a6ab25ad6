"""Arabic spelling: what different writers write differently is folded, and where each letter came from is kept.

On top of `core.data.spelling.fold`, diacritics and tatweel go; alef, yeh and heh variants, the letters of Persian and
Urdu keyboards and Arabic digits are unified; ة is never made ه, for it carries gender (cf. the light normalisation of
Larkey et al. 2002, which does).
"""

import re
from functools import lru_cache
from typing import NamedTuple

from core.data.gender_words import Gender
from core.data.spelling import fold

_MARKS = (
    "\u0610-\u061a\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed"  # diacritics, Qur'anic signs
    "\u0640"  # tatweel
)
_HAMZA = "\u0653-\u0655"  # composes with its letter (ؤ), and goes only where it does not
_REMOVED = re.compile(f"[{_MARKS}]")
_LEFT_OVER = re.compile(f"[{_MARKS}{_HAMZA}]")
_PLAIN = re.compile("[\u0621-\u063a\u0641-\u064a ]*")
_SHADDA = "\u0651"
_FOLDED = str.maketrans(
    {
        **dict.fromkeys("أإآٱٲٳ", "ا"),
        **dict.fromkeys("ىیےېۍ", "ي"),
        **dict.fromkeys("ہھەۀۂ", "ه"),
        **dict.fromkeys("کگڪ", "ك"),
        "ۓ": "ئ",
        "ۃ": "ة",
        "پ": "ب",
        "چ": "ج",
        "ژ": "ز",
        "ڤ": "ف",
        "ں": "ن",
        **{chr(first + digit): str(digit) for first in (0x0660, 0x06F0) for digit in range(10)},
    }
)
_WORD = re.compile(rf"[^\W\d_](?:[^\W\d_]|[{_MARKS}{_HAMZA}])*")
_CLUSTER = re.compile(rf".[{_MARKS}{_HAMZA}]*", re.DOTALL)


class Word(NamedTuple):
    """A word of a text: `text[start:end]`, its folded letters, and where in the text each of them stands."""

    start: int
    end: int
    folded: str
    offsets: tuple[int, ...]
    spelt: str
    """The letters of `folded` as they are written, without marks: آ is no أ (مرآة is a mirror), and ى no ي (على)."""
    has_shadda: bool
    """A shadda is written: مدرّسة is a teacher, never a school."""


def normalise(text: str) -> str:
    """Fold spelling variants; folding twice changes nothing."""
    return _letters(text).translate(_FOLDED)


def _letters(text: str) -> str:
    """The text without marks; what taking them out brings together is composed."""
    if _PLAIN.fullmatch(text):
        return text
    while (folded := _LEFT_OVER.sub("", fold(_REMOVED.sub("", text)).text)) != text:
        text = folded
    return text


def words(text: str) -> list[Word]:
    """The words of a text, in reading order."""
    folded = fold(text)
    return [
        _word(match[0], folded.starts[match.start() : match.end()], folded.ends[match.end() - 1])
        for match in _WORD.finditer(folded.text)
    ]


def _word(text: str, starts: tuple[int, ...], end: int) -> Word:
    if _PLAIN.fullmatch(text):
        return Word(starts[0], end, text.translate(_FOLDED), starts, text, has_shadda=False)
    pairs = [
        (letter, starts[cluster.start()]) for cluster in _CLUSTER.finditer(text) for letter in _letters(cluster[0])
    ]
    spelt = "".join(letter for letter, _ in pairs)
    return Word(starts[0], end, spelt.translate(_FOLDED), tuple(at for _, at in pairs), spelt, _SHADDA in text)


class Stripped(NamedTuple):
    """A word with `proclitics` letters and an owner's pronoun `owner` taken off."""

    stem: str
    proclitics: int
    owner: str
    is_definite: bool
    is_future: bool
    preposition: str


OWNER_GENDERS: dict[str, Gender | None] = {
    **dict.fromkeys(("هما", "كما", "هم", "كم", "نا", "ي", "ك")),
    **{"هن": "female", "ها": "female", "ه": "male"},
}
"""The pronouns that end a noun, and the gender of the owner whom each speaks of; null where it tells none."""
_PRONOUNS = tuple(sorted(OWNER_GENDERS, key=len, reverse=True))


@lru_cache(maxsize=65536)
def strippings(word: str) -> tuple[Stripped, ...]:
    """Every way to read a folded word as clitics and a stem, the whole word first, then by the letters taken off.

    Proclitics come in the order و/ف, س, ب/ك/ل, ال, with لل for ل + ال; before an owner's pronoun ت is read as ة too.
    Whether a stem is a word is for the caller to look up: stripping blindly makes د of والد.
    """
    found = [reading for head in _heads(word) for reading in _tails(word, head)]
    return tuple(sorted(found, key=lambda reading: reading.proclitics + len(reading.owner)))


def _heads(word: str) -> list[tuple[int, bool, bool, str]]:
    """Letters taken off in front, and whether they hold ال and س, and which preposition."""
    heads = set()
    for start in (0, 1) if word[:1] in ("و", "ف") else (0,):
        rest = word[start:]
        heads.add((start, False, False, ""))
        if rest.startswith("س"):
            heads.add((start + 1, False, True, ""))
        if rest.startswith("ال"):
            heads.add((start + 2, True, False, ""))
        if rest[:1] in ("ب", "ك", "ل"):
            heads.add((start + 1, False, False, rest[0]))
            if rest[1:3] == "ال":
                heads.add((start + 3, True, False, rest[0]))
        if rest.startswith("لل"):
            heads.add((start + 2, True, False, "ل"))
    return sorted(heads)


def _tails(word: str, head: tuple[int, bool, bool, str]) -> list[Stripped]:
    taken, is_definite, is_future, preposition = head
    stem = word[taken:]
    if len(stem) < 2:
        return []
    readings = [Stripped(stem, taken, "", is_definite, is_future, preposition)]
    if is_definite:
        return readings  # a noun has either the article or an owner
    for owner in _PRONOUNS:
        if stem.endswith(owner) and len(stem) - len(owner) >= 2:
            owned = stem[: -len(owner)]
            forms = (owned[:-1] + "ة", owned) if owned.endswith("ت") else (owned,)
            readings += [Stripped(form, taken, owner, is_definite, is_future, preposition) for form in forms]
    return readings
