"""Words that stand on a sign, a shirt or a page, and speak of nobody in the picture."""

from core.data.english_caption import EnglishCaption
from core.data.english_lexicon import is_plural
from core.data.english_things import chain

_REPORTS = ("read", "reads", "reading")
_ENDS = ("while", "as", "is", "are")
_INSIDE = ("at", "of", "for")
_REACH = 5


def mark_signs(caption: EnglishCaption) -> None:
    """Turn the role of every word that a caption quotes from a sign into `thing`."""
    bears = any(caption.holds(index, "text_bearers") for index in range(len(caption.tokens)))
    for index, token in enumerate(caption.tokens):
        shouts = bears and caption.has_case and len(token.surface) > 1 and token.surface.isupper()
        if shouts or (token.is_quoted and _is_inscription(caption, index)):
            caption.make_thing(index)
        elif caption.is_person(index) and _heads_sign(caption, index):
            chain(caption, index)
        if _introduces_text(caption, index):
            for at in _text_behind(caption, index):
                caption.make_thing(at)


def _is_inscription(caption: EnglishCaption, index: int) -> bool:
    """Whether a quotation stands on something named right before it or behind it, and nobody speaks it."""
    first = last = index
    while first > 0 and caption.tokens[first - 1].is_quoted:
        first -= 1
    while last + 1 < len(caption.tokens) and caption.tokens[last + 1].is_quoted:
        last += 1
    if any(caption.is_person(at) and caption.word(at + 1) in ("says", "say", "shouts") for at in range(first)):
        return False
    if any(caption.holds(at, "text_bearers", "says", "words_for") for at in range(max(0, first - _REACH), first)):
        return True
    written = any(caption.holds(at, "written") for at in range(last + 1, last + 4))
    return written or caption.holds(last + 1, "text_bearers") or caption.word(last + 1) == "on"


def _heads_sign(caption: EnglishCaption, index: int) -> bool:
    """`a ladies sign`, but not `the women sign a book`."""
    if not caption.holds(index + 1, "sign_nouns"):
        return False
    return not is_plural(caption.word(index)) or caption.word(index - 1) in ("a", "the", "and", "or")


def _introduces_text(caption: EnglishCaption, index: int) -> bool:
    """Whether what follows is written: `a sign that says`, `a book titled`, `the word`."""
    if caption.holds(index, "words_for"):
        return caption.is_capitalised(index + 1)
    if not caption.holds(index, "says"):
        return False
    near = caption.before(index, _REACH)
    if caption.word(index) in _REPORTS:
        near = [at for at in near if caption.word(at) not in ("that", "which")][-1:]
        return bool(near) and caption.holds(near[0], "boards") and not caption.holds(index + 1, "determiners", "owners")
    stated = caption.word(index - 1) in ("that", "which") and index > 1 and not caption.is_person(index - 2)
    return stated or any(caption.holds(at, "text_bearers") for at in near)


def _text_behind(caption: EnglishCaption, index: int) -> list[int]:
    """The words of the text: the capitalised ones, or those before the next preposition."""
    found: list[int] = []
    in_capitals = caption.has_case and caption.is_capitalised(index + 1)
    for at in range(index + 1, len(caption.tokens)):
        if caption.tokens[at].sentence != caption.tokens[index].sentence:
            break
        if in_capitals:
            ends = not caption.is_capitalised(at) and not caption.holds(at, "small_words")
        else:
            stops = caption.holds(at, "prepositions") and caption.word(at) not in _INSIDE
            ends = stops or caption.word(at) in _ENDS or not caption.is_near(at, index)
        if ends:
            break
        found.append(at)
    return found
