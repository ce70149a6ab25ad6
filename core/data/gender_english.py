"""Gender in English captions: whole words of a lexicon, and whom they speak of."""

import re
from functools import cache
from typing import Any, NamedTuple

from core.data.gender_words import Gender, GenderedWord, GenderLabel, Kind, Referent, label_of, lexicon_file

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SENTENCE_END = re.compile(r"[.!?;\n]")
_COPULAS = frozenset(
    {"is", "was", "are", "were", "be", "being", "am", "becomes", "became", "as", "like", "called", "named"}
)
_DETERMINERS = frozenset(
    {"a", "an", "the", "this", "that", "these", "those", "some", "another", "two", "three", "several", "many", "one"}
)
_OWNERS = frozenset({"his", "her", "their", "my", "your", "our", "its"})
_JOINS = frozenset({"and", "or", "nor"})


class _Lexicon(NamedTuple):
    genders: dict[str, Gender]
    neutral: frozenset[str]
    relations: frozenset[str]
    titles: frozenset[str]
    adjectives: frozenset[str]
    prepositions: frozenset[str]
    ends_her: frozenset[str]
    pronouns: dict[str, tuple[Gender, Referent]]
    not_people: dict[str, dict[str, list[str]]]


@cache
def _lexicon() -> _Lexicon:
    raw: dict[str, Any] = lexicon_file("english")
    genders: dict[str, Gender] = {
        **dict.fromkeys(raw["female"], "female"),
        **dict.fromkeys(raw["male"], "male"),
    }
    pronouns = {word: (gender, referent) for word, (gender, referent) in raw["pronouns"].items()}
    names = ("neutral", "relations", "titles", "adjectives", "prepositions", "ends_her")
    sets = {name: frozenset(raw[name]) for name in names}
    return _Lexicon(genders=genders, pronouns=pronouns, not_people=raw["not_people"], **sets)


class _Token(NamedTuple):
    start: int
    end: int
    word: str
    """Lower case, without a possessive ending."""
    owns: bool
    sentence: int


def label_english(text: str) -> GenderLabel:
    """Label an English caption by whole words: `policewoman` counts, `human` and `mandate` do not."""
    tokens = _tokens(text)
    lexicon = _lexicon()
    found = [token for index in range(len(tokens)) if (token := _gendered(text, tokens, index)) is not None]
    return label_of(found, any(token.word in lexicon.neutral for token in tokens))


def _tokens(text: str) -> list[_Token]:
    tokens = []
    for match in _WORD.finditer(text):
        word = match[0].lower().replace("’", "'")
        base = re.sub(r"'(?:ll|d|ve|re|m)$", "", word)
        owns = base.endswith("'s")
        base = base.removesuffix("'s")
        sentence = len(_SENTENCE_END.findall(text, 0, match.start()))
        tokens.append(_Token(match.start(), match.end(), base, owns, sentence))
    return tokens


def _gendered(text: str, tokens: list[_Token], index: int) -> GenderedWord | None:
    lexicon, token = _lexicon(), tokens[index]
    if token.word in lexicon.pronouns:
        gender, referent = lexicon.pronouns[token.word]
        if token.word == "her" and _ends_phrase(tokens, index):
            referent = "object"
        kind: Kind = "possessive" if referent == "possessor" else "pronoun"
        return GenderedWord(token.start, token.end, text[token.start : token.end], gender, referent, kind)
    if token.word not in lexicon.genders or _is_not_a_person(tokens, index):
        return None
    kind = "title" if token.word in lexicon.titles else "adjective" if token.word in lexicon.adjectives else "noun"
    spelt = text[token.start : token.end]
    return GenderedWord(token.start, token.end, spelt, lexicon.genders[token.word], _referent(tokens, index), kind)


def _ends_phrase(tokens: list[_Token], index: int) -> bool:
    """Whether nothing that `her` could own follows it."""
    after = _word(tokens, index + 1)
    return after is None or tokens[index + 1].sentence != tokens[index].sentence or after in _lexicon().ends_her


def _is_not_a_person(tokens: list[_Token], index: int) -> bool:
    rule = _lexicon().not_people.get(tokens[index].word, {})
    after, before = _word(tokens, index + 1), _word(tokens, index - 1)
    return after in rule.get("unless_before", ()) or before in rule.get("unless_after", ())


def _word(tokens: list[_Token], index: int) -> str | None:
    return tokens[index].word if 0 <= index < len(tokens) else None


def _referent(tokens: list[_Token], index: int) -> Referent:
    """Whom a gendered noun speaks of, read off the words before it in its sentence."""
    lexicon, token = _lexicon(), tokens[index]
    if token.owns and _word(tokens, index + 1) is not None and not _follows_clause(tokens, index):
        return "possessor"
    before = [other for other in tokens[:index] if other.sentence == token.sentence]
    people = [other for other in before if other.word in lexicon.genders or other.word in lexicon.neutral]
    pronouns = [other for other in before if other.word in ("she", "he")]
    if not people and not pronouns:
        return _opening_referent(before)
    opener = _opener(before)
    if opener in _OWNERS or (before and before[-1].owns):
        return "other"
    if opener is None or opener in _COPULAS | _JOINS:
        return "subject"
    if opener in lexicon.prepositions:
        return "other"
    return "subject" if opener in lexicon.genders or opener in lexicon.neutral else "object"


def _follows_clause(tokens: list[_Token], index: int) -> bool:
    """`the woman's reading` is `the woman is reading`."""
    after = _word(tokens, index + 1) or ""
    return after.endswith("ing") or after in ("a", "an", "the", "not", "in", "on", "at", "got", "been")


def _opening_referent(before: list[_Token]) -> Referent:
    opener = _opener(before)
    if opener in _OWNERS:
        return "other"
    return "subject"


def _opener(before: list[_Token]) -> str | None:
    """The word before the noun phrase: determiners and what stands between them and the noun are passed over."""
    words = [token.word for token in before]
    for back in range(1, min(4, len(words)) + 1):
        if words[-back] in _DETERMINERS:
            rest = words[:-back]
            while rest and rest[-1] in _DETERMINERS:
                rest.pop()
            return rest[-1] if rest else None
        if words[-back] in _OWNERS:
            return words[-back]
        if words[-back] in _lexicon().prepositions | _COPULAS | _JOINS:
            return words[-back]
    return words[-1] if words else None
