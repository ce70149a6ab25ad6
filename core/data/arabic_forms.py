"""The regular forms of Arabic nouns, adjectives and verbs, unvocalised, spelt out from their dictionary forms."""

from typing import NamedTuple

DOUBTFUL = "?"
"""Ends a lexicon's word that mostly means a thing."""


class VerbForms(NamedTuple):
    """The forms of a verb by what they agree with; present stems stand without their prefix ي or ت."""

    past_male: tuple[str, ...]
    past_female: tuple[str, ...]
    present: tuple[str, ...]
    """Stems to which every ending is added."""
    present_masculine: tuple[str, ...]
    """Stems to which only ون and وا are added (يمشون)."""
    present_feminine: tuple[str, ...]
    """Stems to which only the ن of feminine plurals is added (ينمن)."""


def masculine(noun: str) -> tuple[str, ...]:
    """Singular, accusative with tanwin, dual and sound plural (ين is both, و and ا without ن in the construct)."""
    if len(noun) <= 2:
        return (noun,)  # جدا is `very`, عمان a country
    return (noun, noun + "ا", noun + "ان", *masculine_plurals(noun))


def masculine_plurals(noun: str) -> tuple[str, ...]:
    """Sound plurals; ين is also the dual, which is as masculine."""
    if noun.endswith("اء"):
        return (noun[:-1] + "ؤون", noun[:-1] + "ئين", noun[:-1] + "ؤو", noun + "ون", noun + "ين")
    return () if len(noun) <= 2 else (noun + "ون", noun + "ين", noun + "و")


def feminine(noun: str) -> tuple[str, ...]:
    """Singular, dual and sound plural of a noun in ة or اء, and singular and dual of any other."""
    if len(noun) <= 2:
        return (noun,)
    if noun.endswith("اء"):
        stem = noun[:-1] + "و"
        return (noun, stem + "ان", stem + "ين", stem + "ات")
    stem = noun.removesuffix("ة")
    if stem == noun:
        return (noun, noun + "ان", noun + "ين")
    return (noun, stem + "تان", stem + "تين", *feminine_plurals(noun))


def feminine_plurals(noun: str) -> tuple[str, ...]:
    """The sound plural of a noun in ة."""
    return (noun[:-1] + "ات",) if noun.endswith("ة") else ()


def broken_plural(noun: str) -> tuple[str, ...]:
    """A broken plural and its accusative with tanwin, which ة and اء write without alef."""
    return (noun,) if noun.endswith(("ة", "ء", "ى", "ا")) else (noun, noun + "ا")


def in_construct(noun: str, *, is_feminine: bool) -> tuple[str, ...]:
    """Duals and sound plurals that have lost their ن to the noun or the pronoun behind them (معلمي المدرسة)."""
    if len(noun) <= 2:
        return ()
    if not is_feminine:
        return (noun + "ي",)
    return (noun[:-1] + "تا", noun[:-1] + "تي") if noun.endswith("ة") else (noun + "ا", noun + "ي")


def verb(past: str, present: str = "") -> VerbForms:
    """The third persons of a verb; the present stem follows from the past unless it is given.

    Forms IV and VII to X lose their alef (أمسك: يمسك, ابتسم: يبتسم); hollow and assimilated verbs and those of forms
    V and VI give their stem.
    """
    stem = present or (past[1:] if past[0] in "أا" and len(past) > 3 else past)
    root = past[:-1] if past[-1] in "ىا" else past
    dual = root + "يا" if root != past else past + "ا"
    hollow = len(stem) == 3 and stem[1] in "وي" and not present.startswith("ت") and len(past) == 3 and past[1] == "ا"
    stems = (stem, stem[:-1] + "ؤ", stem[:-1] + "ئ") if stem.endswith("أ") else (stem,)
    return VerbForms(
        past_male=(past, root + "وا", *((dual,) if len(past) > 3 else ())),
        past_female=(root + "ت", root + "تا", *((root + "ن",) if root == past and len(past) > 2 else ())),
        present=stems,
        present_masculine=(stem[:-1],) if stem[-1] in "يىو" and len(stem) > 2 else (),
        present_feminine=(stem[0] + stem[2],) if hollow or past == "نام" else (),
    )
