"""What an English word can name: a woman, a man, a person, an animal; plurals and compounds follow from their parts."""

from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

from core.data.english_tokens import tokens_of
from core.data.gender_words import Gender, Kind, Referent, lexicon_file

Role = Literal["female", "male", "person", "animal", "ship", "pronoun", "thing", ""]
"""What a word of a caption names: a person with or without a gender, an animal, a ship, somebody by a pronoun; `thing`
where a word for people names none of them; nothing of interest."""

_IRREGULAR = {
    "children": "child", "wives": "wife", "thieves": "thief", "elves": "elf", "calves": "calf", "wolves": "wolf",
    "geese": "goose", "mice": "mouse", "oxen": "ox", "passersby": "passerby", "alumni": "alumnus",
    "alumnae": "alumna", "fishes": "fish", "heroes": "hero", "superheroes": "superhero",
}  # fmt: skip
_FEMALE_ENDINGS = ("woman", "girl", "lady", "wife", "maid", "mother", "sister", "daughter")
_MALE_ENDINGS = ("boy", "father", "brother")
_PERSON_ENDINGS = ("person", "folk", "people", "child")
_SHORTEST_COMPOUND = 6


class Phrase(NamedTuple):
    """Words that together name something else than each by itself."""

    words: tuple[str, ...]
    capitals: tuple[bool, ...]
    owners: tuple[bool, ...]
    """Which words have a possessive ending, and must have one in the caption too."""
    names: Role
    """What the last word names."""


class EnglishLexicon(NamedTuple):
    """english.json; the words of its lists are singular, and `sets` has every list by its name."""

    adjectives: dict[str, Gender]
    pronouns: dict[str, tuple[Gender, Referent]]
    phrases: dict[str, list[Phrase]]
    """By their first word."""
    only_with: dict[str, frozenset[str]]
    """Words that name people only where one of these stands in the caption."""
    never_with: dict[str, frozenset[str]]
    """Words that name nobody where one of these stands in the caption."""
    sets: dict[str, frozenset[str]]

    def holds(self, word: str, *names: str) -> bool:
        """Whether one of the lists holds the word as it is."""
        return any(word in self.sets[name] for name in names)

    def has(self, word: str, *names: str) -> bool:
        """Whether one of the lists holds the word or its singular."""
        return any(form in self.sets[name] for form in forms(word) for name in names)


@cache
def english_lexicon() -> EnglishLexicon:
    """The lexicon that ships with the package."""
    raw: dict[str, Any] = lexicon_file("english")
    return EnglishLexicon(
        adjectives={word: gender for gender, words in raw["adjectives"].items() for word in words},
        pronouns={word: (gender, referent) for word, (gender, referent) in raw["pronouns"].items()},
        phrases=_phrases(raw["phrases"]),
        only_with={word: frozenset(context) for word, context in raw["only_with"].items()},
        never_with={word: frozenset(context) for word, context in raw["never_with"].items()},
        sets={name: frozenset(words) for name, words in raw.items() if isinstance(words, list)},
    )


def _phrases(lists: dict[Role, list[str]]) -> dict[str, list[Phrase]]:
    found: dict[str, list[Phrase]] = {}
    for names, texts in lists.items():
        for words in map(tokens_of, texts):
            capitals = tuple(token.is_capitalised for token in words)
            owners = tuple(token.owns for token in words)
            phrase = Phrase(tuple(token.word for token in words), capitals, owners, names)
            found.setdefault(phrase.words[0], []).append(phrase)
    return found


@lru_cache(maxsize=65536)
def forms(word: str) -> tuple[str, ...]:
    """The word, and every word whose plural it can be."""
    if word in _IRREGULAR:
        return word, _IRREGULAR[word]
    if word.endswith("men"):
        return word, word[:-2] + "an"
    if word.endswith("wives"):
        return word, word[:-3] + "fe"
    if not word.endswith("s") or len(word) < 3:
        return (word,)
    if word.endswith("ies"):
        return word, word[:-1], word[:-3] + "y"
    return (word, word[:-1], word[:-2]) if word.endswith("es") else (word, word[:-1])


@lru_cache(maxsize=65536)
def is_listed(word: str) -> bool:
    """Whether a list holds the word or its singular, so that no rule has to take it apart."""
    lexicon = english_lexicon()
    alone = any(phrase.words == (word,) for phrase in lexicon.phrases.get(word, ()))
    return alone or lexicon.has(word, "female", "male", "neutral", "animals", "not_man")


@lru_cache(maxsize=65536)
def is_plural(word: str) -> bool:
    """Whether a word that names people or animals is a plural."""
    if word in _IRREGULAR or word.endswith("men") or word in ("people", "folks", "police"):
        return True
    return word.endswith("s") and not english_lexicon().holds(word, "female", "male", "neutral", "animals")


@lru_cache(maxsize=65536)
def role_of(word: str) -> Role:
    """What a word names when it stands by itself."""
    lexicon = english_lexicon()
    if word in lexicon.pronouns:
        return "pronoun"
    gender = lexicon.adjectives.get(word) or _gender(lexicon, word)
    if gender is not None:
        return gender
    if lexicon.has(word, "animals"):
        return "animal"
    if _is_person(lexicon, word):
        return "person"
    return "ship" if lexicon.has(word, "ships") else ""


def kind_of(word: str) -> Kind:
    """How a gendered word tells the gender."""
    if english_lexicon().holds(word, "titles"):
        return "title"
    return "adjective" if is_adjective(word) else "noun"


def is_adjective(word: str) -> bool:
    """Whether the word is a gendered adjective, or one used as a noun (two females)."""
    return any(form in english_lexicon().adjectives for form in forms(word))


def _gender(lexicon: EnglishLexicon, word: str) -> Gender | None:
    for form in forms(word):
        if form != word and lexicon.holds(form, "titles"):
            continue  # `misses` is no title
        if form in lexicon.adjectives and form.endswith("male"):
            return lexicon.adjectives[form]  # males, females
        if lexicon.holds(form, "female"):
            return "female"
        if lexicon.holds(form, "male"):
            return "male"
    if lexicon.holds(word, "neutral", "not_man"):
        return None
    return next((gender for form in forms(word) if (gender := _compound_gender(lexicon, form)) is not None), None)


def _compound_gender(lexicon: EnglishLexicon, word: str) -> Gender | None:
    """`policewoman` and `stepdad` have the gender of their last part."""
    if lexicon.holds(word, "not_ending", "not_man"):
        return None
    if word.endswith(_FEMALE_ENDINGS):
        return "female"
    if word.endswith(_MALE_ENDINGS) or (word.endswith("man") and len(word) >= _SHORTEST_COMPOUND):
        return "male"
    for prefix in lexicon.sets["kin_prefixes"]:
        kin = word.removeprefix(prefix)
        if kin != word and lexicon.holds(kin, "relations"):
            return "female" if lexicon.holds(kin, "female") else "male"
    return None


def _is_person(lexicon: EnglishLexicon, word: str) -> bool:
    for form in forms(word):
        if lexicon.holds(form, "neutral"):
            return True
        if lexicon.holds(form, "not_ist", "not_ending"):
            return False
        if form.endswith(_PERSON_ENDINGS) or (form.endswith("ist") and len(form) >= _SHORTEST_COMPOUND):
            return True
        if any(form.endswith(agent) and form != agent for agent in lexicon.sets["agents"]):
            return True
    return False
