"""The words of the known-answer world: every noun, verb and adjective a caption can hold, in English and Arabic.

Arabic forms are unvocalised, as newspapers print them. Every indefinite noun below stands in the nominative or the
genitive in the captions, never in the accusative, so that no masculine form needs the alef of the tanwin.
"""

from typing import Literal, NamedTuple

Gender = Literal["female", "male"]
Visible = Literal["woman", "man", "neutral"]

GENDERS: tuple[Gender, ...] = ("female", "male")
VISIBLE: tuple[Visible, ...] = ("woman", "man", "neutral")
SKIN_TONES: tuple[str, ...] = ("light", "medium", "dark")


class Pair(NamedTuple):
    """One word in its two genders."""

    female: str
    male: str

    def of(self, gender: Gender) -> str:
        """Return the form of `gender`."""
        return self.female if gender == "female" else self.male


class Profession(NamedTuple):
    """A profession or activity: its English noun, its Arabic nouns and the emoji that shows it."""

    name: str
    en: str
    ar: Pair
    emoji: str
    joins_person: bool
    """True: the emoji follows a person (🧑 + ZWJ + 🚀); False: it is the person, and a gender sign may follow."""


class Thing(NamedTuple):
    """An object someone owns, with the verb that fits it; the Arabic noun carries the owner's pronoun."""

    name: str
    verb_en: str
    noun_en: str
    verb_ar: Pair
    noun_ar: Pair
    feminine: bool
    """The grammatical gender of the Arabic noun, which its colour agrees with; nobody's gender."""
    emoji: str


class Place(NamedTuple):
    """A place as the phrase that follows a verb, its emoji and the colour of its ground."""

    name: str
    en: str
    ar: str
    emoji: str
    ground: tuple[int, int, int]


class Mood(NamedTuple):
    """A mood, which the sky shows: cheerful by day, calm at dusk, tired at night."""

    name: str
    ar: Pair
    sky: tuple[int, int, int]


def _job(name: str, en: str, female: str, male: str, emoji: str) -> Profession:
    return Profession(name, en, Pair(female, male), emoji, joins_person=True)


def _activity(name: str, en: str, female: str, male: str, emoji: str) -> Profession:
    return Profession(name, en, Pair(female, male), emoji, joins_person=False)


PROFESSIONS: tuple[Profession, ...] = (
    _job("doctor", "doctor", "طبيبة", "طبيب", "⚕️"),
    _job("student", "student", "طالبة", "طالب", "🎓"),
    _job("teacher", "teacher", "معلمة", "معلم", "🏫"),
    _job("judge", "judge", "قاضية", "قاض", "⚖️"),
    _job("farmer", "farmer", "مزارعة", "مزارع", "🌾"),
    _job("cook", "cook", "طباخة", "طباخ", "🍳"),
    _job("mechanic", "mechanic", "ميكانيكية", "ميكانيكي", "🔧"),
    _job("factory_worker", "factory worker", "عاملة مصنع", "عامل مصنع", "🏭"),
    _job("clerk", "clerk", "موظفة", "موظف", "💼"),
    _job("scientist", "scientist", "عالمة", "عالم", "🔬"),
    _job("programmer", "programmer", "مبرمجة", "مبرمج", "💻"),
    _job("singer", "singer", "مطربة", "مطرب", "🎤"),
    _job("painter", "painter", "رسامة", "رسام", "🎨"),
    _job("pilot", "pilot", "طيارة", "طيار", "✈️"),
    _job("astronaut", "astronaut", "رائدة فضاء", "رائد فضاء", "🚀"),
    _activity("police_officer", "police officer", "شرطية", "شرطي", "👮"),
    _activity("engineer", "engineer", "مهندسة", "مهندس", "👷"),
    _activity("runner", "runner", "عداءة", "عداء", "🏃"),
    _activity("swimmer", "swimmer", "سباحة", "سباح", "🏊"),
    _activity("weightlifter", "weightlifter", "رباعة", "رباع", "🏋️"),
    _activity("magician", "magician", "ساحرة", "ساحر", "🧙"),
    _activity("rower", "rower", "مجدفة", "مجدف", "🚣"),
    _activity("golfer", "golfer", "لاعبة غولف", "لاعب غولف", "🏌️"),
    _activity("juggler", "juggler", "لاعبة خفة", "لاعب خفة", "🤹"),
)


def _thing(name: str, verb_en: str, verb_ar: Pair, owned: str, *, feminine: bool, emoji: str) -> Thing:
    """Attach the owner's pronoun to `owned`, the Arabic noun in its construct form."""
    return Thing(name, verb_en, name, verb_ar, Pair(owned + "ها", owned + "ه"), feminine, emoji)


OBJECTS: tuple[Thing, ...] = (
    _thing("ball", "plays with", Pair("تلعب", "يلعب"), "بكرت", feminine=True, emoji="🏀"),
    _thing("balloon", "holds", Pair("تمسك", "يمسك"), "ببالون", feminine=False, emoji="🎈"),
    _thing("book", "reads", Pair("تقرأ", "يقرأ"), "كتاب", feminine=False, emoji="📕"),
    _thing("umbrella", "carries", Pair("تحمل", "يحمل"), "مظلت", feminine=True, emoji="☂️"),
    _thing("bag", "opens", Pair("تفتح", "يفتح"), "حقيبت", feminine=True, emoji="🎒"),
    _thing("cap", "lifts", Pair("ترفع", "يرفع"), "قبعت", feminine=True, emoji="🧢"),
    _thing("scarf", "folds", Pair("تطوي", "يطوي"), "وشاح", feminine=False, emoji="🧣"),
    _thing("shirt", "washes", Pair("تغسل", "يغسل"), "قميص", feminine=False, emoji="👕"),
)

PLACES: tuple[Place, ...] = (
    Place("beach", "at the beach", "على الشاطئ", "🏖️", (238, 217, 166)),
    Place("forest", "in the forest", "في الغابة", "🌲", (126, 160, 106)),
    Place("school", "at the school", "في المدرسة", "🏫", (196, 176, 158)),
    Place("hospital", "at the hospital", "في المستشفى", "🏥", (214, 224, 228)),
    Place("city", "in the city", "في المدينة", "🏙️", (168, 172, 182)),
    Place("mountains", "in the mountains", "في الجبال", "🏔️", (178, 190, 170)),
    Place("desert", "in the desert", "في الصحراء", "🏜️", (232, 186, 128)),
    Place("garden", "in the garden", "في الحديقة", "🏡", (172, 212, 132)),
)

COLOURS: dict[str, Pair] = {
    "red": Pair("الحمراء", "الأحمر"),
    "yellow": Pair("الصفراء", "الأصفر"),
    "green": Pair("الخضراء", "الأخضر"),
    "blue": Pair("الزرقاء", "الأزرق"),
    "purple": Pair("البنفسجية", "البنفسجي"),
}

MOODS: tuple[Mood, ...] = (
    Mood("cheerful", Pair("مرحة", "مرح"), (196, 226, 250)),
    Mood("calm", Pair("هادئة", "هادئ"), (252, 196, 168)),
    Mood("tired", Pair("متعبة", "متعب"), (92, 102, 150)),
)

SUBJECT_EN = Pair("woman", "man")
PRONOUN_EN = Pair("she", "he")
POSSESSIVE_EN = Pair("her", "his")
SUBJECT_AR = Pair("امرأة", "رجل")
SUBJECT_DEFINITE_AR = Pair("المرأة", "الرجل")
PRONOUN_AR = Pair("وهي", "وهو")
DEMONSTRATIVE_AR = Pair("هذه", "هذا")
