"""Gender as a concept: female against male, in English and Arabic."""

from collections.abc import Sequence

from core.data.concept import Concept, Positions
from core.data.gender import label_caption
from core.data.gender_counterparts import counterpart_of, listed_pairs
from core.data.gender_words import GenderedWord
from core.data.scene_truth import planted_gender, planted_rates

_NEUTRAL = {
    "en": "person people individual individuals human humans adult adults child children kid kids baby teenager "
    "somebody someone they them their theirs themselves themself",
    "ar": "شخص الشخص أشخاص الأشخاص فرد أفراد إنسان الإنسان أناس الناس ناس بشر أحد أحدهم هم",
}
"""Words for a person that tell no gender. Arabic has few: most nouns for people are masculine or feminine."""


def _neutral(language: str) -> Sequence[str]:
    return _NEUTRAL.get(language, "").split()


def _words(caption: str, language: str) -> Sequence[GenderedWord]:
    return label_caption(caption, language).tokens


def _label(caption: str, language: str) -> str:
    return label_caption(caption, language).gender


GENDER = Concept(
    name="gender",
    plural="genders",
    adjective="gendered",
    sides=("female", "male"),
    positions=Positions(before="pre-gender", first="first-gendered", later="later-gendered"),
    shown=("visible_gender", "neutral"),
    planted="gendered_words",
    words=_words,
    counterpart=counterpart_of,
    world=planted_gender,
    label=_label,
    nouns={"female": "women", "male": "men"},
    one="a woman",
    other_words="ungendered words",
    bearers=" people",
    colours={"female": "#AA3377", "male": "#228833", "both": "#CCAA22", "neutral": "#66AACC", "none": "#BBBBBB"},
    pairs=listed_pairs,
    neutral=_neutral,
    rates=planted_rates,
)
