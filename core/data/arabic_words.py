"""The words of an Arabic caption in their places."""

import re
from typing import NamedTuple

from core.data.arabic import Word, words
from core.data.arabic_lexemes import SHORT, Lexeme, lexeme
from core.data.arabic_lexicon import arabic_lexicon
from core.data.spelling import fold

_SENTENCE_END = re.compile(r"[.!?؟؛;\n]")
_CLAUSE_END = re.compile(r"[.!?؟؛;\n،,:()\-–]")
_QUESTIONS = frozenset({"هل", "سواء", "ادري", "يدري", "تدري"})
_POINTED = frozenset({"هو", "هي", "هذا", "هذه", "ام"})


class ParsedWord(NamedTuple):
    """One word of a caption and where it stands."""

    word: Word
    sentence: int
    clause: int
    lexeme: Lexeme
    asks: bool
    """The word opens a question: هل, or أ before a word (أيقف)."""

    def start_of(self, owner: str) -> int:
        """Where in the text the owner's pronoun begins."""
        return self.word.offsets[len(self.word.folded) - len(owner)]

    def within(self, name: str) -> bool:
        """Whether the word, without clitics, is in one of the lexicon's lists."""
        return not self.lexeme.stems.isdisjoint(arabic_lexicon().sets[name])


def read(text: str) -> list[ParsedWord]:
    """Read every word of a caption."""
    seen = fold(text)  # the line's end within a broken word ends no sentence
    sentences, clauses = (
        [seen.starts[match.start()] for match in ending.finditer(seen.text)] for ending in (_SENTENCE_END, _CLAUSE_END)
    )
    found, written = [], words(text)
    is_question = "؟" in text or "?" in text
    asks = is_question or any(word.folded == "ام" for word in written[1:])
    for index, word in enumerate(written):
        sentence, clause = (sum(end < word.start for end in ends) for ends in (sentences, clauses))
        asked = _asked(word, written[index + 1 : index + 2]) if asks else None
        meant = asked or lexeme(word.folded, word.spelt, word.has_shadda)
        opens = asked is not None or word.folded in _QUESTIONS or (is_question and index == 0)
        found.append(ParsedWord(word, sentence, clause, meant, opens))
    return found


def _asked(word: Word, after: list[Word]) -> Lexeme | None:
    """The word behind an أ that asks, if the whole is no word, or `he` or `this` follows (أرجل هو)."""
    if word.spelt[:1] != "أ" or len(word.folded) <= SHORT + 1 or word.folded in arabic_lexicon().sets["quantifiers"]:
        return None
    known = lexeme(word.folded, word.spelt, word.has_shadda)
    if after and after[0].folded in _POINTED:
        known = known._replace(people=(), being="")
    if known.people or known.being or known.adjective or known.verbs or known.owned or known.is_preposition:
        return None
    asked = lexeme(word.folded[1:], word.spelt[1:], word.has_shadda)
    is_word = asked.people or asked.being or asked.verbs or asked.pronoun
    return asked if is_word and not asked.joins and not asked.preposition else None
