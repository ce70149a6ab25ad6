"""Where words end in a text of any script, and which tokens end them."""

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence

_APOSTROPHES = "'\u2019"


def word_ends(text: str) -> list[int]:
    """The place behind each word's last character, ascending.

    A word is a run of letters and digits with the marks on them (Arabic diacritics, tatweel); an apostrophe between two
    letters is part of it, a hyphen is not.
    """
    ends: list[int] = []
    has_letter = False
    for place, char in enumerate(text):
        inside = _is_part(char) or (has_letter and _joins(text, place))
        if has_letter and not inside:
            ends.append(place)
        has_letter = inside and (has_letter or char.isalnum())
    return [*ends, len(text)] if has_letter else ends


def _is_part(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf")


def _joins(text: str, place: int) -> bool:
    return text[place] in _APOSTROPHES and text[place + 1 : place + 2].isalnum()


def complete_words(text: str, token_ends: Sequence[int]) -> list[int]:
    """How many words of the text each token and those before it hold whole, so that a word's last token is the one at
    which the number rises. `token_ends` are the places behind the tokens; where several are parts of one character,
    the last of them ends it."""
    ends = word_ends(text)
    complete: list[int] = []
    for end, following in zip(token_ends, [*token_ends[1:], len(text) + 1], strict=True):
        before = complete[-1] if complete else 0
        complete.append(bisect_right(ends, end) if following > end else before)
    return complete
