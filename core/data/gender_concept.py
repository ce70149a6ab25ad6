"""Gender as a concept: female against male, in English and Arabic."""

from collections.abc import Sequence

from core.data.concept import Concept, Positions
from core.data.gender import label_caption
from core.data.gender_words import GenderedWord

_ENGLISH = (
    "woman man, women men, girl boy, girls boys, lady gentleman, ladies gentlemen, she he, her his, hers his, "
    "herself himself, mother father, mothers fathers, mom dad, mum dad, daughter son, daughters sons, sister brother, "
    "sisters brothers, wife husband, aunt uncle, niece nephew, grandmother grandfather, grandma grandpa, bride groom, "
    "queen king, princess prince, actress actor, waitress waiter, hostess host, stewardess steward, female male, "
    "females males, policewoman policeman, businesswoman businessman, sportswoman sportsman, firewoman fireman, "
    "saleswoman salesman, fisherwoman fisherman, cowgirl cowboy, schoolgirl schoolboy, bridesmaid groomsman, nun monk"
)
_ARABIC = (
    "امرأة رجل, إمرأة رجل, المرأة الرجل, نساء رجال, النساء الرجال, سيدة رجل, السيدة الرجل, فتاة فتى, الفتاة الفتى, "
    "بنت ولد, البنت الولد, بنات أولاد, أم أب, الأم الأب, ابنة ابن, أخت أخ, زوجة زوج, جدة جد, هي هو, وهي وهو, "
    "هذه هذا, طفلة طفل, الطفلة الطفل, ملكة ملك, أميرة أمير, عروس عريس"
)


def _table(pairs: str) -> dict[str, str]:
    """Each word's counterpart; of several, the one that stands first."""
    table: dict[str, str] = {}
    for pair in pairs.split(", "):
        female, male = pair.split(" ")
        table.setdefault(female, male)
        table.setdefault(male, female)
    return table


def _words(caption: str, language: str) -> Sequence[GenderedWord]:
    return label_caption(caption, language).tokens


GENDER = Concept(
    name="gender",
    plural="genders",
    adjective="gendered",
    sides=("female", "male"),
    positions=Positions(before="pre-gender", first="first-gendered", later="later-gendered"),
    shown=("visible_gender", "neutral"),
    planted="gendered_words",
    words=_words,
    counterparts={"en": _table(_ENGLISH), "ar": _table(_ARABIC)},
    colours={"female": "#AA3377", "male": "#228833", "both": "#CCAA22", "neutral": "#66AACC", "none": "#BBBBBB"},
)
