"""Words for people that name none: in names of things, behind `no`, as verbs, in adjectives."""

from core.data.english_caption import EnglishCaption
from core.data.english_lexicon import Phrase, english_lexicon, forms, is_adjective, is_plural

_CAUSES = ("help", "watch", "let", "make", "see", "hear")


def mark_things(caption: EnglishCaption) -> None:
    """Turn the role of every word for people that is part of a thing's name into `thing`."""
    for rule in (
        _phrase,
        _context,
        _absence,
        _toy,
        _verb,
        _title,
        _compound,
        _purpose,
        _hyphen,
        _attribute,
        _adjective,
    ):
        for index in range(len(caption.tokens)):
            rule(caption, index)


def chain(caption: EnglishCaption, index: int) -> None:
    """A person noun that makes a thing, and those joined before it: girl scout cookies, a man and woman symbol."""
    at = index
    while at >= 0 and (caption.is_person(at) or (at < index and caption.word(at) in ("and", "or"))):
        if caption.owns(at) and at < index:
            break
        caption.make_thing(at)
        at -= 1


def _phrase(caption: EnglishCaption, index: int) -> None:
    phrases = english_lexicon().phrases
    for form in forms(caption.word(index)):
        for phrase in phrases.get(form, ()):
            last = index + len(phrase.words) - 1
            if _matches(caption, index, phrase):
                for at in range(index, last + 1):
                    caption.roles[at] = phrase.names if at == last else "thing"


def _matches(caption: EnglishCaption, index: int, phrase: Phrase) -> bool:
    """Whether the words stand there side by side, with the phrase's capitals and possessives.

    The last word may be a plural, unless that makes it a verb: `a man bags a loaf`.
    """
    last = index + len(phrase.words) - 1
    if last >= len(caption.tokens):
        return False
    is_verb = caption.holds(index - 1, "singular_determiners") or _has_object(caption, last)
    for at, word, capital, owns in zip(
        range(index, last + 1), phrase.words, phrase.capitals, phrase.owners, strict=True
    ):
        is_plural_of = at == last and word in forms(caption.word(at)) and not is_verb
        if word != caption.word(at) and not is_plural_of:
            return False
        if (capital and not caption.is_capitalised(at)) or (owns and not caption.owns(at)):
            return False
        if at < last and caption.between(at).strip(" -&+.'/0123456789") != "":
            return False
    return True


def _has_object(caption: EnglishCaption, index: int) -> bool:
    return caption.is_near(index, index + 1) and caption.holds(index + 1, "determiners", "owners")


def _context(caption: EnglishCaption, index: int) -> None:
    """A fan and a pitcher are people where the caption has a game; a king is none where it has a chessboard."""
    lexicon = english_lexicon()
    for form in forms(caption.word(index)):
        needs, bars = lexicon.only_with.get(form), lexicon.never_with.get(form, frozenset())
        others = caption.words - {caption.word(index), form} if needs or bars else frozenset()
        if (needs is not None and not others & needs) or others & bars:
            caption.make_thing(index)


def _absence(caption: EnglishCaption, index: int) -> None:
    """`no people`, `without a man`, `not a woman`: nobody that the caption shows."""
    word, after = caption.word(index), caption.word(index + 1)
    denies = word in ("not", "isnt", "arent", "never") and (
        after in ("a", "an", "the", "any", "one") or caption.is_person(index + 1)
    )
    if (caption.holds(index, "absent") or denies) and after not in ("fewer", "less", "only", "just", "doubt"):
        _take_out(caption, index + 1)
    elif caption.holds(index, "void") and after in ("of", "from"):
        _take_out(caption, index + 2)


def _take_out(caption: EnglishCaption, start: int) -> None:
    """Mark the first person named behind a negation and those joined to it; up to two adjectives may stand before."""
    skipped = 0
    for at in (start, *caption.behind(start, len(caption.tokens))):
        if caption.is_person(at):
            caption.make_thing(at)
            if not (caption.holds(at + 1, "joins") or caption.is_person(at + 1)):
                return
            skipped = 0
        elif not caption.holds(at, "determiners", "owners", "joins"):
            skipped += 1
            if skipped > 2 or caption.holds(at, "prepositions", "copulas", "exceptions"):
                return


def _toy(caption: EnglishCaption, index: int) -> None:
    """A lego man, an inflatable woman: what is made like a person and is none."""
    if caption.holds(index, "toy_makes") and caption.is_person(index + 1) and caption.is_near(index, index + 1):
        caption.make_thing(index + 1)


def _verb(caption: EnglishCaption, index: int) -> None:
    """`women man the booth`, `she grooms a horse`, `vegetables cook`: words for people that are verbs here."""
    if not caption.has(index, "verb_nouns"):
        return
    before, after = index - 1, index + 1
    takes_object = caption.holds(after, "determiners", "owners") or caption.word(after).endswith(("self", "selves"))
    ends = caption.word(after) in ("", "and", "up", "in", "on", "over", "for")
    word = caption.word(index)
    if caption.holds(before, "subjects"):
        acts = caption.word(before) != "to" or takes_object or caption.word(after) in ("", "and")
    elif caption.role(before) in ("female", "male", "person", "animal", "pronoun"):
        agrees = caption.is_person(before) and caption.word(before) not in ("police", "people")
        agrees = agrees and is_plural(word) != is_plural(caption.word(before)) and caption.role(index) != "person"
        acts = (takes_object or agrees) and not caption.owns(before) and not caption.holds(before, "owners")
    else:
        plural = caption.word(before).endswith("s") and not caption.owns(before)
        known = caption.holds(before, "determiners", "owners") or caption.role(before) != ""
        acts = plural and not known and not word.endswith("s") and caption.word(after) != "" and ends
    if acts:
        caption.make_thing(index)


def _title(caption: EnglishCaption, index: int) -> None:
    """`miss the bus`, `40 ms`, `Palm Dr.`: titles that no name follows."""
    named = caption.is_capitalised(index + 1) or not caption.has_case
    wants = caption.holds(index, "short_ranks") or caption.word(index) == "ms"
    if caption.word(index) == "miss" and caption.word(index - 1) not in ("little", "young", "the", "a"):
        wants = True
    if wants and not named:
        caption.make_thing(index)


def _compound(caption: EnglishCaption, index: int) -> None:
    """A person noun right before a thing says what kind of thing: cowboy hat, princess cake, women's restroom."""
    if caption.is_person(index) and caption.is_near(index, index + 1) and _modifies(caption, index):
        chain(caption, index)


def _modifies(caption: EnglishCaption, index: int) -> bool:
    word, after = caption.word(index), index + 1
    if caption.owns(index):
        return _owns_generically(caption, index)
    if is_adjective(word):
        at = next((at for at in caption.behind(index, 2) if caption.has(at, "gendered_things")), None)
        return at is not None and not any(caption.is_person(other) for other in (after, at + 1))
    if caption.holds(index, "titles"):
        return caption.has(after, "things", "role_things") and not caption.is_capitalised(after)
    if caption.has(after, "things") or (word == "sister" and caption.holds(after, "place_nouns", "ships")):
        return True
    if is_plural(word) or caption.holds(index, "core_people") or not caption.holds(after, "role_things"):
        return False  # `the nurse pins`, `the men train`: a verb
    if caption.has(index + 2, "things"):
        return True  # a bride and groom cake topper
    before = [caption.word(at) for at in range(max(0, index - 5), index)]
    return "and" not in before[-2:] and not any(word.startswith(_CAUSES) for word in before)


def _owns_generically(caption: EnglishCaption, index: int) -> bool:
    """`women's restroom`, `the ladies' shoes`: for women, not of a woman."""
    if not caption.holds(index, "generic_owners"):
        return False
    phrase = []
    for at in caption.behind(index, 4):
        if caption.holds(at, "prepositions", "copulas", "joins"):
            break
        phrase.append(at)
    if any(caption.is_person(at) for at in phrase):
        return False  # the women's soccer team
    kinds = ["facilities", "place_nouns"]
    if not caption.holds(index - 1, "determiners", "owners"):
        kinds += ["things", "role_things"]  # `the boys' shoes` are some boys'
    return any(caption.has(at, *kinds) for at in phrase[:2])


def _purpose(caption: EnglishCaption, index: int) -> None:
    """`a sign for men`, `shoes for women`: for any of them."""
    if not caption.holds(index, "generic_owners"):
        return
    before, link = index - 2, caption.word(index - 1)
    joined = link in ("and", "or") and caption.role(before) == "thing" and caption.holds(before, "generic_owners")
    if joined or (link == "for" and caption.has(before, "things", "role_things", "text_bearers", "place_nouns")):
        caption.make_thing(index)


def _hyphen(caption: EnglishCaption, index: int) -> None:
    """`man-made`, `woman-owned`, `king-size`: an adjective made of a noun."""
    goes_on = caption.holds(index + 1, "hyphen_joins") or caption.is_person(index + 1)
    if caption.is_person(index) and caption.tokens[index].is_joined and not goes_on:
        caption.make_thing(index)


def _attribute(caption: EnglishCaption, index: int) -> None:
    """`a local market`, `African art`, `a blonde man`: a word for people that describes the noun behind it."""
    if not (caption.is_person(index) and caption.holds(index, "adjectival")):
        return
    after = index + 1
    closes = caption.holds(after, "prepositions", "human_verbs", "copulas", "joins")
    closes = closes or caption.word(after) in ("who", "that", "has", "have") or caption.word(after).endswith("ing")
    acts = caption.word(after).endswith("s") and (
        caption.holds(after + 1, "determiners", "owners") or caption.word(after + 1) in ("out", "up", "off")
    )
    ends = not caption.is_near(index, after) or closes or acts
    if caption.is_person(after):
        describes = caption.role(index) != "person"  # `a local man` is a person either way
    else:
        describes = not ends or caption.holds(index - 1, "copulas")
    if describes:
        caption.make_thing(index)


def _adjective(caption: EnglishCaption, index: int) -> None:
    """`a pregnant man`, `a masculine woman`: the noun decides; `a pregnant person` is said so as to tell no gender."""
    word = caption.word(index)
    if not caption.is_person(index) or not is_adjective(word):
        return
    for at in caption.behind(index, 2):
        gender = caption.gender(at)
        avoids = caption.holds(at, "anybody") and word not in ("male", "female")
        if avoids or (gender not in (None, caption.gender(index)) and not is_adjective(caption.word(at))):
            caption.make_thing(index)
            caption.ambiguous = caption.ambiguous or avoids
        if caption.role(at) != "" or caption.holds(at, "joins", "prepositions"):
            return
