"""Given names in English captions: who bears one, and what else says the bearer's gender."""

from core.data.english_caption import EnglishCaption
from core.data.english_lexicon import role_of
from core.data.gender_words import Gender
from core.data.given_names import NameGender, given_name

_REACH = 5


def names_in(caption: EnglishCaption) -> dict[int, Gender | None]:
    """Where given names stand and the gender each tells, None where both genders bear it.

    A name that stands beside a word of the other gender for the same person (Sam, a woman) is left out, for the word
    decides; so is one that a place, a brand or a thing has.
    """
    found: dict[int, Gender | None] = {}
    for run in caption.runs or _loose(caption):
        first = _given(caption, run)
        if first is None or not _is_bearer(caption, run, first[0]):
            continue
        index, gender = first
        described = _apposed(caption, run, index) or _predicated(caption, run)
        if gender == "neutral" or described in (None, gender):
            found[index] = None if gender == "neutral" else gender
    return found


def _loose(caption: EnglishCaption) -> list[range]:
    """Where case tells nothing, every capitalised word by itself."""
    return [range(at, at + 1) for at in range(len(caption.tokens)) if caption.is_capitalised(at)]


def _given(caption: EnglishCaption, run: range) -> tuple[int, NameGender] | None:
    """The first given name of a run, which nothing but titles, ranks and the sentence's first word stands before."""
    for index in run:
        if caption.role(index) == "thing":
            return None
        known = given_name(caption.tokens[index].surface, "en", is_person=_shows_person(caption, index, run))
        if known is not None:
            is_surname = index + 1 == run.stop and index > run.start and caption.holds(index - 1, "name_ranks")
            return index, "neutral" if is_surname else known
        opens = index == run.start and caption.opens_sentence(index)
        if not (opens or caption.is_person(index) or caption.holds(index, "name_ranks")):
            return None
        if caption.holds(index, "saints"):
            return None
    return None


def _shows_person(caption: EnglishCaption, index: int, run: range) -> bool:
    """Whether a name that is a word too must be a name here: of who does what people do, or beside a sure name."""
    before, after = run.start - 1, run.stop
    grows = caption.holds(index, "plants") and caption.holds(after, "plant_verbs")
    if caption.holds(after, "human_verbs") and not grows:
        return True
    if caption.holds(after, "copulas") and caption.word(after + 1).endswith("ing"):
        return True
    kin = role_of(caption.word(before)) in ("female", "male") or caption.is_person(index - 1)
    if kin or caption.holds(before, "introduces_name"):
        return True
    if index + 1 < run.stop and not any(caption.holds(at, "place_nouns") for at in run):
        return not caption.opens_sentence(index) or index + 2 == run.stop
    for joint, other in ((after, after + 1), (before, before - 1)):
        if caption.word(joint) in ("and", "or") and 0 <= other < len(caption.tokens):
            return given_name(caption.tokens[other].surface, "en") is not None
    return caption.word(after) in ("and", "with") and caption.word(after + 1) in ("his", "her", "their")


def _is_bearer(caption: EnglishCaption, run: range, name: int) -> bool:
    """Whether the name is a person's: not a shop's (Joe's Pizza), a jersey's (a Michael Jordan jersey) or a place's."""
    last = run.stop - 1
    if any(caption.holds(at, "saints", "place_nouns") for at in run if at != name):
        return False
    if any(caption.owns(at) for at in run if at < last):
        return False
    if caption.is_near(last, run.stop) and not caption.owns(last):
        return not (caption.has(run.stop, "things") or caption.holds(run.stop, "role_things", "made_of_name"))
    return True


def _apposed(caption: EnglishCaption, run: range, index: int) -> Gender | None:
    """The gender of a noun right before the name: `actress Sam`, `a girl named Sam`."""
    places = [run.start - 1, index - 1]
    if caption.holds(run.start - 1, "called"):
        places.append(run.start - 2)
    genders = (caption.gender(at) for at in places if not caption.owns(at) and caption.is_near(at, at + 1))
    return next((gender for gender in genders if gender is not None), None)


def _predicated(caption: EnglishCaption, run: range) -> Gender | None:
    """The gender of a noun that the name is said to be: `Sam is a woman`, `Sam, a woman in red`."""
    start = run.stop
    while caption.holds(start, "copulas") or caption.word(start) in ("as", "becomes", "who"):
        start += 1
    is_said = start > run.stop
    if not is_said:
        parted = caption.between(run.stop - 1).strip() in (",", "(")
        if not (parted and caption.holds(start, "determiners", "owners")):
            return None
    for at in (start, *caption.behind(start, _REACH)):
        gender = caption.gender(at)
        if gender is not None and not caption.owns(at):
            lists = caption.word(at + 1) == "and" and not is_said  # `Sam, a woman and a dog`
            return None if lists else gender
        if caption.holds(at, "prepositions"):
            return None
    return None
