"""Words of a user's own, found in captions: whole words as a reader sees them, phrases, and Arabic words with clitics.

Captions and lists are folded alike (`core.data.spelling`, `core.data.arabic`): case, accents, diacritics, tatweel and
letter variants make no difference. Digits and signs belong to a word (`core.data.listed_tokens`): 4x4, C++, don't, U.S.
Arabic: و ف ب ك ل ال before a word and a pronoun behind it are read off where the rest is listed, the fewest letters
first. No other form is guessed: a plural is listed or not found.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from core.data import arabic
from core.data.listed_tokens import PlainToken, plain_tokens
from core.data.spelling import Folded, fold

_BETWEEN = re.compile(r"['\u2019]?[\s\-\u2010\u2011\u2013]*")
"""What may stand between the words of one entry; an apostrophe ends the first of them (boys' room)."""
_KIND = "word"

Phrase = tuple[str, ...]


class ListedWord(NamedTuple):
    """A stretch of a caption, `caption[start:end]`, that an entry of the lists names.

    The entry's own letters begin at `stem`, behind Arabic proclitics; `is_inflected` tells that they are not quite the
    entry's: a pronoun ends them, or an article stands within them.
    """

    start: int
    end: int
    side: str
    phrase: Phrase
    stem: int
    is_definite: bool = False
    is_inflected: bool = False
    kind: str = _KIND


class _Read(NamedTuple):
    """A word of a caption, folded, and where it stands; `bare` is what it is up to `bare_end`, without an English
    ending such as 's."""

    start: int
    end: int
    folded: str
    offsets: tuple[int, ...] = ()
    bare_end: int = 0
    bare: str = ""


class _Form(NamedTuple):
    """A word of a caption read as a listed one, from `stem` to `end`."""

    stem: int
    end: int
    is_definite: bool = False
    is_inflected: bool = False


@dataclass(frozen=True)
class WordLists:
    """The words of two sides in one language; `pairs` are each other's counterparts, the first side's before the
    other's."""

    language: str
    sides: tuple[str, str]
    words: tuple[Sequence[str], Sequence[str]]
    pairs: Sequence[tuple[str, str]] = ()

    def find(self, text: str) -> list[ListedWord]:
        """The listed words of a text, in reading order; of two that overlap the one that begins first, then the
        longer."""
        read, found, at = self._read(text), [], 0
        while at < len(read):
            hit = next(self._at(text, read, at), None)
            if hit is not None:
                found.append(hit)
            at += len(hit.phrase) if hit is not None else 1
        return found

    def counterpart(self, text: str, word: ListedWord) -> str | None:
        """What the other side has in the place of a word that `find` found; null without one, or where the word is
        inflected, as the other's spelling is not known."""
        other = self._counterparts.get(word.phrase)
        if other is None or word.is_inflected:
            return None
        if word.is_definite and fold(other).text.startswith("ال"):
            return None
        return text[word.start : word.stem] + _cased(text[word.stem : word.end], other)

    def phrase(self, entry: str) -> Phrase:
        """An entry of the lists as its folded words; empty where it has no word."""
        return tuple(word.folded for word in self._read(entry))

    def finds(self, entry: str) -> bool:
        """Whether an entry is found where a text has it as it is written; else marks stand between its words."""
        read = self._read(entry)
        return self._forms(entry, read, tuple(word.folded for word in read)) is not None

    def in_both(self) -> list[str]:
        """Entries that stand in both lists, as the first has them."""
        other = set(map(self.phrase, self.words[1]))
        return [entry for entry in self.words[0] if self.phrase(entry) in other]

    @cached_property
    def _sides(self) -> Mapping[Phrase, str]:
        listed = [(self.phrase(entry), side) for side, own in zip(self.sides, self.words, strict=True) for entry in own]
        return {phrase: side for phrase, side in reversed(listed) if phrase}

    @cached_property
    def _longest_first(self) -> tuple[Phrase, ...]:
        return tuple(sorted(self._sides, key=lambda phrase: (-len(phrase), phrase)))

    @cached_property
    def _counterparts(self) -> Mapping[Phrase, str]:
        found: dict[Phrase, str] = {}
        for one, other in self.pairs:
            found.setdefault(self.phrase(one), other)
            found.setdefault(self.phrase(other), one)
        return found

    def _read(self, text: str) -> list[_Read]:
        folded = fold(text)
        plain = [_plain(folded, token) for token in plain_tokens(folded.text) if self._takes(token)]
        if self.language != "ar":
            return plain
        taken = {at for word in plain for at in range(word.start, word.end)}
        own = [_Read(word.start, word.end, word.folded, word.offsets) for word in arabic.words(text)]
        return sorted([*plain, *(word for word in own if word.start not in taken)])

    def _takes(self, token: PlainToken) -> bool:
        return self.language != "ar" or not token.is_plain_letters

    def _at(self, text: str, read: Sequence[_Read], at: int) -> Iterator[ListedWord]:
        """What may stand at a word of a text, the longest first."""
        for phrase in self._longest_first:
            forms = self._forms(text, read[at : at + len(phrase)], phrase)
            if forms is not None:
                head, side = forms[0], self._sides[phrase]
                inflected = head.is_inflected or any(form.is_inflected or form.is_definite for form in forms[1:])
                span = (read[at].start, forms[-1].end)
                yield ListedWord(*span, side, phrase, head.stem, head.is_definite, inflected)

    def _forms(self, text: str, words: Sequence[_Read], phrase: Phrase) -> list[_Form] | None:
        """How words that follow one another are read as those of an entry; null where one is another."""
        if len(words) < len(phrase):
            return None
        forms: list[_Form] = []
        for place, (word, listed) in enumerate(zip(words, phrase, strict=True)):
            form = self._form(word, listed, place)
            if form is None or (forms and _BETWEEN.fullmatch(text[forms[-1].end : word.start]) is None):
                return None
            forms.append(form)
        return forms

    def _form(self, word: _Read, listed: str, place: int) -> _Form | None:
        """How a word is read as a listed one; null where it is another."""
        if word.folded == listed:
            return _Form(word.start, word.end)
        if word.bare and word.bare == listed:
            return _Form(word.start, word.bare_end)
        if self.language != "ar" or not word.offsets:
            return None
        for reading in arabic.strippings(word.folded):
            inner = place == 0 or (not reading.preposition and not reading.is_future)  # غرفة النوم is one phrase
            if reading.stem == listed and inner and not reading.is_future:
                stem = word.offsets[reading.proclitics]
                return _Form(stem, word.end, reading.is_definite, bool(reading.owner))
        return None


def _plain(folded: Folded, token: PlainToken) -> _Read:
    """A word of a folded text where it stands in the text as it is written; Arabic digits are Western ones."""
    word, bare = (part if part.isascii() else arabic.normalise(part) for part in (token.word, token.bare))
    is_letter_by_letter = len(word) == token.end - token.start
    offsets = folded.starts[token.start : token.end] if is_letter_by_letter else ()
    return _Read(*folded.span(token.start, token.end), word, offsets, folded.ends[token.bare_end - 1], bare)


def _cased(written: str, other: str) -> str:
    """The other word in the case of the one that is written: capitals, or a capital at its beginning."""
    if written.isupper() and len(written) > 1:
        return other.upper()
    return other[:1].upper() + other[1:] if written[:1].isupper() else other
