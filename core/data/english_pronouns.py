"""Whom `she`, `his` and `her` speak of: a person, or an animal or a ship that the caption names instead."""

from itertools import pairwise

from core.data.english_caption import EnglishCaption
from core.data.english_lexicon import english_lexicon
from core.data.gender_words import Gender

_CLASSES = ({"he", "she"}, {"his", "her"}, {"his", "hers"}, {"him", "her"}, {"himself", "herself"})


def mark_pronouns(caption: EnglishCaption, names: dict[int, Gender | None]) -> None:
    """Turn the role of every gendered pronoun that speaks of no person into `thing`.

    Args:
        caption: the caption, its animals and things marked.
        names: where given names stand and their genders.
    """
    for index in range(len(caption.tokens)):
        if caption.role(index) != "pronoun":
            continue
        if _is_generic(caption, index):
            caption.make_thing(index)
            caption.has_generic = True
        elif not _is_person(caption, index, names):
            caption.make_thing(index)


def speaks_of_people(caption: EnglishCaption) -> bool:
    """Whether `I`, `we`, or a `they` that no noun was named for stands for people."""
    words = ["" if role == "thing" else caption.word(at) for at, role in enumerate(caption.roles)]
    if "i" in words or "we" in words:
        return True
    subject = next((at for at, word in enumerate(words) if word in ("they", "their")), None)
    if subject is None or "animal" in caption.roles[:subject]:
        return False
    return not any(token.word.endswith("s") and not token.owns for token in caption.tokens[:subject])


def _is_generic(caption: EnglishCaption, index: int) -> bool:
    """`his or her`, `he/she`, `s/he`: anyone."""
    for first in (index, index - 2):
        if caption.word(first + 1) == "or" and {caption.word(first), caption.word(first + 2)} in _CLASSES:
            return True
    for first in (index, index - 1):
        words = {caption.word(first), caption.word(first + 1)}
        if caption.between(first).strip() == "/" and (words in _CLASSES or words == {"s", "he"}):
            return True
    return False


def _is_person(caption: EnglishCaption, index: int, names: dict[int, Gender | None]) -> bool:
    gender, _ = english_lexicon().pronouns[caption.word(index)]
    genders: dict[int, Gender | None] = {
        at: caption.gender(at) for at in range(len(caption.tokens)) if caption.is_person(at)
    }
    genders.update(names)
    others = ("animal", "ship") if gender == "female" else ("animal",)
    candidates = [at for at in range(index) if caption.role(at) in others]
    if not candidates or gender in genders.values():
        return True
    if any(found is None and at < index for at, found in genders.items()):
        return not _is_of_animal(caption, index, candidates[-1], max(at for at in genders if at < index))
    if caption.role(index - 1) == "ship" and caption.word(index) == "she" and caption.is_near(index - 1, index):
        return True  # the boat she built
    if _is_human(caption, index) or (_is_object(caption, index) and _is_beside_subject(caption, index, candidates)):
        return True
    caption.ambiguous = caption.ambiguous or _is_object(caption, index)
    return False


def _is_human(caption: EnglishCaption, index: int) -> bool:
    """`a cat in her lap`, `a dog sleeps at his feet while he reads`: what no animal has or does."""
    if caption.word(index) in ("he", "she"):
        return caption.holds(index + 1, "human_acts") or (
            caption.holds(index + 1, "copulas") and caption.holds(index + 2, "human_acts")
        )
    at_feet = caption.word(index - 1) == "at" and caption.word(index + 1) == "feet"
    has = any(caption.has(at, "human_parts") for at in caption.behind(index, 2))
    return caption.word(index) in ("his", "her") and (at_feet or has)


def _is_beside_subject(caption: EnglishCaption, index: int, animals: list[int]) -> bool:
    """`a dog waits for her`: an object is not its own clause's only subject, so it is somebody else."""
    first, last = animals[0], animals[-1]
    joined = all(any(caption.word(at) in ("and", "or") for at in range(one, other)) for one, other in pairwise(animals))
    goes_on = any(caption.holds(at, "clause_joins") for at in range(last, index))
    return joined and not goes_on and caption.is_near(first, index)


def _is_object(caption: EnglishCaption, index: int) -> bool:
    ends = not caption.is_near(index, index + 1) or caption.holds(index + 1, "ends_her")
    return caption.word(index) in ("him", "her") and ends


def _is_of_animal(caption: EnglishCaption, index: int, animal: int, person: int) -> bool:
    """Beside a person of no gender: what only an animal has, or what is done to the animal last named."""
    if person > animal:
        return False
    if _is_object(caption, index):
        return caption.role(animal) == "animal" and not caption.holds(index - 1, "beside")
    owned = caption.behind(index, 2)
    has_part = any(caption.has(at, "ship_parts" if caption.role(animal) == "ship" else "animal_parts") for at in owned)
    has_young = index - animal == 2 and any(caption.has(at, "young") for at in owned)
    return caption.word(index) in ("his", "her") and (has_part or has_young)
