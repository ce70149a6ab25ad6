"""Words for people that speak of animals: mother cat, male lion, a duck and its baby, a bear with her cubs."""

from core.data.english_caption import EnglishCaption
from core.data.english_lexicon import forms, is_adjective, is_plural

_CARERS = frozenset({"mother", "mom", "mama", "father", "parent"})
_ADULTS = frozenset({"adult", "baby", "parent", "male", "female"})
_ANY = frozenset({"baby", "adult", "male", "female"})
_GROUPS = ("family", "couple", "parent")


def mark_animals(caption: EnglishCaption) -> None:
    """Turn the role of every word for people that speaks of an animal into `animal`."""
    rules = [_verb, _attribute, _named_with_animal, _sexed, _owned_by_animal, _with_young, _predicate]
    for rule in (*rules, _collective) if "animal" in caption.roles else (_collective,):
        for index in reversed(range(len(caption.tokens))):
            rule(caption, index)


def _verb(caption: EnglishCaption, index: int) -> None:
    """`a child pets a dog`, `two boys fish`, `the skipper steers`: animals that are verbs behind people."""
    before, word = index - 1, caption.word(index)
    if caption.role(index) != "animal" or not caption.is_near(before, index) or caption.owns(before):
        return
    doer = caption.is_person(before) and not is_adjective(caption.word(before))
    if is_plural(word):
        named = caption.holds(before, "animal_roles", "kin") or caption.word(before) == "bachelor"
        is_verb = caption.holds(before - 1, "singular_determiners") or caption.holds(index + 1, "determiners", "owners")
        acts = doer and not is_plural(caption.word(before)) and (is_verb or not named)
    else:
        acts = doer and is_plural(caption.word(before))
    subject = caption.holds(before, "subjects") or caption.word(before) in ("he", "she")
    if acts or (word in ("pets", "fishes") and doer) or (subject and caption.holds(index, "verb_animals")):
        caption.roles[index] = ""


def _attribute(caption: EnglishCaption, index: int) -> None:
    """A dog walker and a horse rider are people, and no pronoun speaks of the animal."""
    after = index + 1
    if caption.role(index) != "animal" or caption.owns(index) or not caption.is_near(index, after):
        return
    is_animals = caption.has(after, "kin") and not caption.has(after, "human_owners")
    is_animals = is_animals or is_adjective(caption.word(after)) or caption.word(after) in _GROUPS
    if caption.is_person(after) and not is_animals:
        caption.roles[index] = ""


def _named_with_animal(caption: EnglishCaption, index: int) -> None:
    """`a mother polar bear`, `a male lion`, `an elephant family`, `a she-wolf`."""
    if caption.role(index) == "pronoun":
        if caption.tokens[index].is_joined and caption.role(index + 1) == "animal":
            caption.make_thing(index)
        return
    if not caption.is_person(index):
        return
    animal = _animal_behind(caption, index)
    if animal is not None and _goes_with(caption, index, animal):
        caption.roles[index] = "animal"
        _partner(caption, index)
    elif caption.role(index - 1) == "animal" and caption.is_near(index - 1, index) and not caption.owns(index - 1):
        kin = caption.has(index, "kin") and not caption.has(index, "human_owners")
        if kin or any(form in _GROUPS for form in forms(caption.word(index))):
            caption.roles[index] = "animal"


def _animal_behind(caption: EnglishCaption, index: int) -> int | None:
    """The animal that a noun at `index` goes with, right behind it but for its kind (mother polar bear)."""
    for at in caption.behind(index, 3):
        if caption.owns(at - 1):
            return None
        if caption.role(at) == "animal":
            while caption.role(at + 1) == "animal" and caption.is_near(at, at + 1):
                at += 1
            return at
        if not caption.holds(at, "animal_kinds"):
            return None
    return None


def _goes_with(caption: EnglishCaption, index: int, animal: int) -> bool:
    """Whether the noun names the animal: no verb (`tourists fish`), no rider or walker of it."""
    word, after = caption.word(index), animal + 1
    stem = set(forms(word))
    sexed = caption.has(index, "sexes")
    gendered = caption.role(index) in ("female", "male") and not is_adjective(word)
    if gendered and not sexed and not caption.has(index, "kin"):
        return False
    if caption.owns(index) or is_plural(word):
        return bool(stem & _ANY)
    if caption.is_near(animal, after) and caption.is_person(after):
        return False
    if caption.is_near(animal, after) and caption.word(after).endswith("ing") and sexed:
        return bool(stem & _ANY)  # girl bird watching
    return not (sexed and is_plural(caption.word(animal)) and not stem & {"baby", "bachelor"})


def _partner(caption: EnglishCaption, index: int) -> None:
    """`mother and baby elephant`, `a male and a female duck`: what is joined to it goes with the animal too."""
    link = index - 1
    while caption.holds(link, "determiners"):
        link -= 1
    before = link - 1
    if caption.word(link) not in ("and", "or", "with") or not caption.is_person(before):
        return
    bare = link == index - 1 or "baby" in forms(caption.word(index))
    stem = set(forms(caption.word(before)))
    if stem & {"male", "female"} or (bare and (stem & _ADULTS or caption.has(before, "kin"))):
        caption.roles[before] = "animal"


def _sexed(caption: EnglishCaption, index: int) -> None:
    """`the male is larger` where a caption has animals and no people."""
    if not caption.is_person(index):
        return
    if caption.has(index, "sexed") and "animal" in caption.roles:
        others = (at for at in range(len(caption.tokens)) if caption.is_person(at))
        if all(caption.has(at, "sexed") for at in others) and not _acts_as_person(caption, index):
            caption.roles[index] = "animal"


def _acts_as_person(caption: EnglishCaption, index: int) -> bool:
    """`a male kneeling beside a dog`: named before any animal, and not with its young."""
    animals = [at for at, role in enumerate(caption.roles) if role == "animal"]
    acts = caption.word(index + 1).endswith("ing") or caption.word(index + 1) in ("in", "on", "at", "with")
    return acts and index < animals[0] and not caption.has(animals[0], "young")


def _owned_by_animal(caption: EnglishCaption, index: int) -> None:
    """`a calf and its mother`, `the cub's mother`, `elephants with their babies`."""
    if not caption.is_person(index) or not caption.has(index, "kin", "offspring"):
        return
    owner = index - 1
    if not caption.holds(owner, "owners") and not caption.owns(owner):
        owner -= 1
    by_animal = caption.role(owner) == "animal" and caption.owns(owner)
    if "baby" in forms(caption.word(index)) and caption.word(index - 1) == "a":
        wild = caption.role(index - 3) == "animal" and not caption.has(index - 3, "pets")
        by_animal = by_animal or (wild and caption.word(index - 2) in ("and", "with"))
    by_pronoun = caption.word(owner) in ("its", "his", "her", "their") and _speaks_of_animal(caption, owner)
    if by_animal or by_pronoun:
        caption.roles[index] = "animal"


def _speaks_of_animal(caption: EnglishCaption, index: int) -> bool:
    """Whether the last one named before is an animal; with another owner than `its`, only animals."""
    before = [at for at in range(index) if caption.is_person(at) or caption.role(at) == "animal"]
    if caption.word(index) == "its":
        before = before[-1:]
    return bool(before) and all(caption.role(at) == "animal" for at in before)


def _with_young(caption: EnglishCaption, index: int) -> None:
    """`a mother and her cubs`, `a mother with a baby giraffe`: the mother of young animals is one."""
    if not caption.is_person(index) or not _CARERS & set(forms(caption.word(index))):
        return
    young = _young_behind(caption, index)
    if young is None or caption.owns(index) or caption.holds(index - 1, "owners"):
        return
    tame = caption.has(young, "tame_young")
    owned = any(caption.word(at) in ("her", "his", "its", "their") for at in range(index, young))
    if tame and not (owned and is_plural(caption.word(young))):
        return  # a mother with a puppy is a person
    if caption.has(young, "young") or caption.holds(young - 1, "newborn"):
        caption.roles[index] = "animal"
        caption.ambiguous = caption.ambiguous or tame


def _young_behind(caption: EnglishCaption, index: int) -> int | None:
    if not caption.holds(index + 1, "cares"):
        return None
    for at in caption.behind(index, 5)[1:]:
        if caption.is_person(at):
            return None
        if caption.role(at) == "animal":
            return at
    return None


def _predicate(caption: EnglishCaption, index: int) -> None:
    """`the lion is a male`, `our dog is a good boy`: what an animal is."""
    if caption.role(index) not in ("female", "male"):
        return
    copula = next((at for at in reversed(caption.before(index, 4)) if caption.holds(at, "copulas")), None)
    if copula is None:
        return
    subjects = [at for at in caption.before(copula, copula) if caption.is_person(at) or caption.role(at) == "animal"]
    if subjects and all(caption.role(at) == "animal" for at in subjects):
        caption.roles[index] = "animal"


def _collective(caption: EnglishCaption, index: int) -> None:
    """`a family of ducks`, `a couple of bananas`, `in a group`: a number of what is no person."""
    if caption.role(index) != "person" or not caption.has(index, "collectives"):
        return
    if caption.word(index - 1) == "a" and caption.word(index - 2) in ("in", "as"):
        caption.make_thing(index)
    elif caption.word(index + 1) == "of":
        following = caption.behind(index, 5)[1:]
        counted = caption.holds(index + 2, "numbers") and caption.holds(index, "crews")
        if following and not counted and not any(caption.is_person(at) for at in following):
            caption.make_thing(index)
