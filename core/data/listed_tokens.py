"""Words as lists of a user's own have them: with their digits, inner marks and signs, which no lexicon of ours needs.

An apostrophe, a decimal point and the stops of an abbreviation stand within a word (don't, 1.5, U.S.). A sign, such as
+ # & % / or an emoji, is a word by itself, so that C++ is three of them without a gap.
"""

import re
import unicodedata
from typing import NamedTuple

_MARK = r"[\u0300-\u036f]*"  # a mark that has no letter of its own to compose to stays with its letter
_LETTER, _ALNUM = rf"[^\W\d_]{_MARK}", rf"[^\W_]{_MARK}"
_ABBREVIATION = rf"(?<![^\W_])(?:{_LETTER}\.)+{_LETTER}(?![^\W_])"
_WORD = re.compile(rf"{_ABBREVIATION}|(?:{_ALNUM})+(?:(?:'|(?<=\d)[.,](?=\d))(?:{_ALNUM})+)*|[^\w\s]")
_ENDING = re.compile(r"'(?:s|ll|d|ve|re|m)$", re.IGNORECASE)
_SIGNS = "&#%@/*\\"
"""Signs that Unicode counts as punctuation."""


class PlainToken(NamedTuple):
    """A word or a sign of a folded text: `text[start:end]`."""

    start: int
    end: int
    word: str
    """Lower case, without accents."""
    bare_end: int
    """Where it ends without 's, 'll and the like; `end` where it has none."""
    bare: str
    """The word without them."""

    @property
    def is_plain_letters(self) -> bool:
        """Whether it has neither a digit nor a sign."""
        return not any(letter.isdigit() for letter in self.word) and any(letter.isalpha() for letter in self.word)


def plain_tokens(text: str) -> list[PlainToken]:
    """The words and signs of a folded text, in reading order; punctuation is none."""
    return [_token(match) for match in _WORD.finditer(text) if match[0][0].isalnum() or _is_sign(match[0])]


def _token(match: re.Match[str]) -> PlainToken:
    start, end = match.span()
    bare = _ENDING.sub("", match[0])
    return PlainToken(start, end, _plain(match[0]), start + len(bare), _plain(bare))


def _is_sign(character: str) -> bool:
    return character in _SIGNS or unicodedata.category(character).startswith("S")


def _plain(word: str) -> str:
    lowered = word.lower()
    if lowered.isascii():
        return lowered
    return "".join(letter for letter in unicodedata.normalize("NFKD", lowered) if not unicodedata.combining(letter))
