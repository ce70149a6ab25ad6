"""An English caption read word by word: its tokens and what each of them names."""

from dataclasses import dataclass
from functools import cached_property

from core.data.english_lexicon import Role, english_lexicon, forms, is_listed, role_of
from core.data.english_tokens import Token, join, tokens_of
from core.data.gender_words import Gender

_LONG = 3


@dataclass
class EnglishCaption:
    """A folded caption; `roles[i]` says what `tokens[i]` names and is narrowed down rule by rule."""

    text: str
    tokens: list[Token]
    roles: list[Role]
    ambiguous: bool = False
    has_generic: bool = False
    """A pronoun stands for anyone (his or her)."""

    def word(self, index: int) -> str:
        """The word at `index`, empty beyond the caption."""
        return self._words[index] if 0 <= index < len(self._words) else ""

    def role(self, index: int) -> Role:
        """What the word at `index` names."""
        return self.roles[index] if 0 <= index < len(self.roles) else ""

    def holds(self, index: int, *names: str) -> bool:
        """Whether one of the lexicon's lists holds the word at `index`."""
        return english_lexicon().holds(self.word(index), *names)

    def has(self, index: int, *names: str) -> bool:
        """Whether one of the lexicon's lists holds the word at `index` or its singular."""
        return english_lexicon().has(self.word(index), *names)

    def is_person(self, index: int) -> bool:
        """Whether the word names a person, with or without a gender."""
        return self.role(index) in ("female", "male", "person")

    def gender(self, index: int) -> Gender | None:
        """The gender of the person that the word names."""
        role = self.role(index)
        return role if role in ("female", "male") else None

    def owns(self, index: int) -> bool:
        """Whether the word has a possessive ending."""
        return 0 <= index < len(self.tokens) and self.tokens[index].owns

    def is_capitalised(self, index: int) -> bool:
        """Whether there is such a word and it begins with a capital."""
        return 0 <= index < len(self.tokens) and self.tokens[index].is_capitalised

    def is_near(self, index: int, other: int) -> bool:
        """Whether both words exist and no punctuation parts them."""
        inside = 0 <= index < len(self.tokens) and 0 <= other < len(self.tokens)
        return inside and self.tokens[index].clause == self.tokens[other].clause

    def behind(self, index: int, reach: int) -> list[int]:
        """Up to `reach` words that follow without punctuation."""
        return [at for at in range(index + 1, index + 1 + reach) if self.is_near(index, at)]

    def before(self, index: int, reach: int) -> list[int]:
        """Up to `reach` words that precede without punctuation, in reading order."""
        return [at for at in range(index - reach, index) if self.is_near(index, at)]

    def make_thing(self, index: int) -> None:
        """Note that the word at `index` names no person."""
        self.roles[index] = "thing"

    def between(self, index: int) -> str:
        """What stands between the word at `index` and the next one."""
        if not 0 <= index < len(self.tokens) - 1:
            return ""
        return self.text[self.tokens[index].end : self.tokens[index + 1].start]

    def opens_sentence(self, index: int) -> bool:
        """Whether the word is its sentence's first."""
        return index == 0 or self.tokens[index - 1].sentence != self.tokens[index].sentence

    @cached_property
    def _words(self) -> list[str]:
        return [token.word for token in self.tokens]

    @cached_property
    def words(self) -> frozenset[str]:
        """The caption's words and their singulars."""
        return frozenset(form for token in self.tokens for form in forms(token.word))

    @cached_property
    def has_case(self) -> bool:
        """Whether a capital tells a name: neither all capitals nor A Title In Capitals."""
        lexicon = english_lexicon()
        return any(
            token.surface[0].islower() and len(token.word) >= _LONG and not lexicon.holds(token.word, "function_words")
            for token in self.tokens[1:] or self.tokens
        )

    @cached_property
    def runs(self) -> list[range]:
        """The names that the caption holds: neighbouring capitalised words, of which `of` and `the` may join two."""
        found: list[range] = []
        index = 0
        while self.has_case and index < len(self.tokens):
            end = index
            while end < len(self.tokens) and self._continues(index, end):
                end += 1
            while end > index and not self.tokens[end - 1].is_capitalised:
                end -= 1
            if end > index:
                found.append(range(index, end))
            index = max(end, index + 1)
        return found

    def _continues(self, first: int, index: int) -> bool:
        token = self.tokens[index]
        if index > first and self.between(index - 1).strip(" .'&-") != "":
            return False
        if token.is_capitalised:
            return index == first or self.tokens[index - 1].sentence == token.sentence
        return index > first and token.word in ("of", "the", "de", "la")


def read_english(folded: str) -> EnglishCaption:
    """Read every word of a folded caption by itself; hyphenated compounds that the lexicon knows are one word."""
    tokens = _joined(tokens_of(folded))
    return EnglishCaption(folded, tokens, [role_of(token.word) for token in tokens])


def _joined(tokens: list[Token]) -> list[Token]:
    found: list[Token] = []
    index = 0
    while index < len(tokens):
        last = index
        while last + 1 < len(tokens) and tokens[last].is_joined:
            last += 1
        while last > index and not _is_compound([token.word for token in tokens[index : last + 1]]):
            last -= 1
        found.append(join(tokens, index, last) if last > index else tokens[index])
        index = last + 1
    return found


def _is_compound(parts: list[str]) -> bool:
    """Whether the parts are one word of the lexicon: step-mother, but not father-daughter."""
    word = "".join(parts)
    return is_listed(word) or (role_of(word) != "" and not any(role_of(part) for part in parts[:-1]))
