"""The words of an English caption, with what their spelling and punctuation say of them."""

import re
import unicodedata
from typing import NamedTuple

_LETTER = r"[^\W\d_][\u0300-\u036f]*"  # a mark that has no letter of its own to compose to stays with its letter
_WORD = re.compile(rf"(?:{_LETTER})+(?:'(?:{_LETTER})+)*")
_ENDING = re.compile(r"'(?:ll|d|ve|re)$|(?<=i)'m$|(?<=n)'t$")
_STOP = re.compile(r"[.!?;\n]")
_CLAUSE_STOP = re.compile(r"[.!?;\n,:()]|\s[-\u2013\u2014]+\s|\u2014")
_ABBREVIATION = re.compile(
    r"\b(?:mrs?|ms|mx|dr|st|prof|jr|sr|lt|sgt|capt|col|gen|rev|hon|pres|gov|[a-z])$", re.IGNORECASE
)
_QUOTED = re.compile(
    '"[^"]*"|\u201c[^\u201d]*\u201d|\u201e[^\u201c\u201d]*[\u201c\u201d]|\u00ab[^\u00bb]*\u00bb'
    r"|(?<!\w)'[^']*(?:\w'\w[^']*)*'(?!\w)"
)
_HYPHENS = ("-", "\u2013")


class Token(NamedTuple):
    """A word of a caption: `caption[start:end]`."""

    start: int
    end: int
    surface: str
    """As it is written, without an ending."""
    word: str
    """What to look up: lower case, no accents, no apostrophes, no ending."""
    owns: bool
    """It has a possessive ending, or one of `is` and `has`, which looks the same."""
    sentence: int
    clause: int
    is_joined: bool
    """A hyphen joins it to the next word."""
    is_quoted: bool

    @property
    def is_capitalised(self) -> bool:
        """Whether the word begins with a capital."""
        return self.surface[:1].isupper()


def tokens_of(text: str) -> list[Token]:
    """The words of a folded text, in reading order."""
    stops = _stops(_STOP, text)
    clauses = _stops(_CLAUSE_STOP, text)
    quotes = [match.span() for match in _QUOTED.finditer(text)]
    return [_token(text, match, (stops, clauses), quotes) for match in _WORD.finditer(text)]


def join(tokens: list[Token], first: int, last: int) -> Token:
    """The tokens from `first` to `last`, which hyphens join, as one word."""
    head, tail = tokens[first], tokens[last]
    parts = tokens[first : last + 1]
    return tail._replace(
        start=head.start,
        surface="".join(part.surface for part in parts),
        word="".join(part.word for part in parts),
        sentence=head.sentence,
        clause=head.clause,
    )


def _token(text: str, match: re.Match[str], stops: tuple[list[int], list[int]], quotes: list[tuple[int, int]]) -> Token:
    start, end = match.span()
    base = _ENDING.sub("", match[0].lower())
    closes_plural = text[end : end + 1] == "'" and not any(last == end + 1 for _, last in quotes)
    owns = base.endswith("'s") or (base.endswith("s") and closes_plural)
    base = base.removesuffix("'s")
    return Token(
        start=start,
        end=end,
        surface=match[0][: len(base)],
        word=_plain(base),
        owns=owns,
        sentence=sum(stop < start for stop in stops[0]),
        clause=sum(stop < start for stop in stops[1]),
        is_joined=text[end : end + 1] in _HYPHENS and text[end + 1 : end + 2].isalpha(),
        is_quoted=any(first < start and end < last for first, last in quotes),
    )


def _plain(word: str) -> str:
    """A lower-case word without accents and apostrophes: `fiancée` is `fiancee`, `ma'am` is `maam`."""
    if word.isascii():
        return word.replace("'", "")
    return "".join(
        letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter) and letter != "'"
    )


def _stops(pattern: re.Pattern[str], text: str) -> list[int]:
    """Where sentences or clauses end; the stop of an abbreviation (Mr.) ends none."""
    return [match.start() for match in pattern.finditer(text) if not _abbreviates(text, match)]


def _abbreviates(text: str, stop: re.Match[str]) -> bool:
    before = text[max(0, stop.start() - 6) : stop.start()]
    return stop[0] == "." and _ABBREVIATION.search(before) is not None
