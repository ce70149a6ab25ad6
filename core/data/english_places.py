"""Capitalised words for people that are names of something else: streets, hotels, ships, animals, surnames."""

from core.data.english_caption import EnglishCaption
from core.data.english_lexicon import is_listed, is_plural

_REACH = 5


def mark_places(caption: EnglishCaption) -> None:
    """Turn the role of every word in the name of a place, a ship, a brand or an animal into `thing`."""
    for index in range(len(caption.tokens)):
        if _is_surname(caption, index):
            caption.make_thing(index)
    for run in caption.runs:
        for at in _place(caption, run) or _christened(caption, run):
            caption.make_thing(at)


def _is_surname(caption: EnglishCaption, index: int) -> bool:
    """`a Sherman tank`, `Morgan Freeman`: a capitalised word in -man that the lists do not hold."""
    word = caption.word(index)
    if not word.endswith(("man", "men")) or word.endswith(("woman", "women")) or is_listed(word):
        return False
    return caption.has_case and caption.is_capitalised(index) and not caption.opens_sentence(index)


def _place(caption: EnglishCaption, run: range) -> range | None:
    """The part of a run of capitals that is a place's or a brand's: Queen Street, Lake Victoria, the Prince hotel."""
    last = run.stop - 1
    alone = len(run) == 1 and caption.opens_sentence(run.start)
    if caption.has(run.stop, "sites") and caption.is_near(last, run.stop) and not caption.owns(last) and not alone:
        joined = caption.word(run.start - 1) == "and" and caption.is_capitalised(run.start - 2)
        return range(run.start - 2 if joined else run.start, run.stop)  # the corner of King and Queen streets
    if caption.word(run.start - 1) == "of" and caption.has(run.start - 2, "containers"):
        return run  # a can of Mr. Muscle
    places = [at for at in run if caption.holds(at, "place_nouns", "street_nouns")]
    if len(run) < 2 or not places:
        return None
    if places[-1] == run.start:
        return run if caption.holds(run.start, "place_first") else None
    opens = caption.opens_sentence(run.start) and len(run) == 2 and is_plural(caption.word(run.start))
    return None if opens else range(run.start, places[-1] + 1)


def _christened(caption: EnglishCaption, run: range) -> range:
    """The run where an animal, a ship or a storm is called so: a horse named Prince, the cruise ship Queen Mary."""
    before = run.start - 1
    if caption.holds(run.start, "christened") or caption.holds(before, "christened"):
        return run
    if caption.holds(before, "called"):
        return run[:0] if _calls_person(caption, before) else run
    follows = caption.role(before) in ("ship", "animal") and caption.is_near(before, run.start)
    return run if follows or _is_apposed_animal(caption, run) else run[:0]


def _calls_person(caption: EnglishCaption, called: int) -> bool:
    for at in range(called - 1, max(-1, called - 1 - _REACH), -1):
        if caption.role(at) in ("animal", "ship", "thing"):
            return False
        if caption.is_person(at) or caption.role(at) == "pronoun":
            return True
    return False


def _is_apposed_animal(caption: EnglishCaption, run: range) -> bool:
    """`Prince the dog`, `Lady, a golden retriever`, `Max and Bella, two cats`."""
    if not caption.holds(run.stop, "determiners", "owners"):
        return False
    joined = caption.is_near(run.start, run.stop)
    if not joined and caption.between(run.stop - 1).strip() != ",":
        return False
    for at in caption.behind(run.stop, 3):
        if caption.is_person(at) or caption.holds(at, "copulas"):
            return False
        if caption.role(at) == "animal":
            return joined or caption.word(at + 1) != "and"
    return False
