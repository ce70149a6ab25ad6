"""Whom a gendered word of an English caption speaks of, read off the words before it in its sentence."""

from core.data.english_caption import EnglishCaption
from core.data.english_lexicon import english_lexicon
from core.data.gender_words import Referent

_INTRODUCES = frozenset(
    {"is", "was", "are", "were", "be", "being", "am", "becomes", "became", "as", "like", "called", "named"}
)
_CLAUSE = frozenset({"a", "an", "the", "not", "in", "on", "at", "got", "been"})
_FARTHEST = 4


def referent_of(caption: EnglishCaption, index: int) -> Referent:
    """Whom a gendered noun speaks of: the subject, somebody's relative, an owner, the one something is done to."""
    token = caption.tokens[index]
    if token.owns and caption.word(index + 1) and not _follows_clause(caption, index):
        return "possessor"
    before = [at for at in range(index) if caption.tokens[at].sentence == token.sentence]
    named = any(caption.is_person(at) for at in before)
    opener = _opener(caption, before)
    is_owned = opener is not None and caption.holds(opener, "owners")
    if not named and not any(caption.word(at) in ("she", "he") for at in before):
        return "other" if is_owned else "subject"
    if is_owned or (before and caption.owns(before[-1])):
        return "other"
    if opener is None or caption.word(opener) in _INTRODUCES or caption.holds(opener, "joins"):
        return "subject"
    if caption.holds(opener, "prepositions"):
        return "other"
    return "subject" if caption.is_person(opener) else "object"


def pronoun_referent(caption: EnglishCaption, index: int) -> Referent:
    """Whom a pronoun speaks of; `her` is an owner where something follows that it can own."""
    _, referent = english_lexicon().pronouns[caption.word(index)]
    ends = index + 1 == len(caption.tokens) or caption.opens_sentence(index + 1) or caption.holds(index + 1, "ends_her")
    return "object" if caption.word(index) == "her" and ends else referent


def _follows_clause(caption: EnglishCaption, index: int) -> bool:
    """`the woman's reading` is `the woman is reading`."""
    return caption.word(index + 1).endswith("ing") or caption.word(index + 1) in _CLAUSE


def _opener(caption: EnglishCaption, before: list[int]) -> int | None:
    """The word before the noun phrase: determiners and what stands between them and the noun are passed over."""
    for back in range(1, min(_FARTHEST, len(before)) + 1):
        at = before[-back]
        if caption.holds(at, "determiners"):
            rest = before[:-back]
            while rest and caption.holds(rest[-1], "determiners"):
                rest.pop()
            return rest[-1] if rest else None
        if caption.holds(at, "prepositions", "joins", "owners") or caption.word(at) in _INTRODUCES:
            return at
    return before[-1] if before else None
