"""Gender in English captions: words for people, pronouns and given names, and whom they speak of."""

from core.data.english_animals import mark_animals
from core.data.english_caption import EnglishCaption, read_english
from core.data.english_lexicon import english_lexicon, kind_of
from core.data.english_names import names_in
from core.data.english_places import mark_places
from core.data.english_pronouns import mark_pronouns, speaks_of_people
from core.data.english_referents import pronoun_referent, referent_of
from core.data.english_signs import mark_signs
from core.data.english_things import mark_things
from core.data.gender_words import Gender, GenderedWord, GenderLabel, Kind, Referent, label_of
from core.data.given_names import weigh_names
from core.data.spelling import Folded, fold


def label_english(text: str) -> GenderLabel:
    """Label an English caption by whole words: `policewoman` counts, `human` and `mandate` do not.

    Words are looked up as a reader sees them (`core.data.spelling.fold`); spans are of the text as it is written.
    """
    folded = fold(text)
    caption = read_english(folded.text)
    for mark in (mark_places, mark_signs, mark_things, mark_animals):
        mark(caption)
    names = names_in(caption)
    mark_pronouns(caption, names)
    found = [word for index in range(len(caption.tokens)) if (word := _gendered(caption, index, names)) is not None]
    neutral = [at for at, role in enumerate(caption.roles) if role == "person"]
    neutral += [at for at, gender in names.items() if gender is None]
    kept = weigh_names(found, [caption.tokens[at].start for at in neutral])
    outvoted = len(kept) < len(found)
    names_people = bool(neutral or caption.has_generic or outvoted or speaks_of_people(caption))
    return label_of([_written(word, text, folded) for word in kept], names_people, caption.ambiguous or outvoted)


def _gendered(caption: EnglishCaption, index: int, names: dict[int, Gender | None]) -> GenderedWord | None:
    """The gendered word at `index`, its span still of the folded text."""
    token, role = caption.tokens[index], caption.roles[index]
    if role == "pronoun":
        gender, _ = english_lexicon().pronouns[token.word]
        referent = pronoun_referent(caption, index)
        kind: Kind = "possessive" if referent == "possessor" else "pronoun"
        return _word(caption, index, gender, referent, kind)
    if role in ("female", "male"):
        return _word(caption, index, role, referent_of(caption, index), kind_of(token.word))
    gender_of_name = names.get(index)
    if gender_of_name is not None:
        return _word(caption, index, gender_of_name, referent_of(caption, index), "name")
    return None


def _word(caption: EnglishCaption, index: int, gender: Gender, referent: Referent, kind: Kind) -> GenderedWord:
    token = caption.tokens[index]
    return GenderedWord(token.start, token.end, token.surface, gender, referent, kind)


def _written(word: GenderedWord, text: str, folded: Folded) -> GenderedWord:
    start, end = folded.span(word.start, word.end)
    return word._replace(start=start, end=end, text=text[start:end])
