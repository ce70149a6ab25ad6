import pytest

from core.data.arabic_people import People
from core.data.arabic_words import read


@pytest.mark.parametrize(
    ("caption", "verb", "subject"),
    [
        ("امرأة تحمل قطة", "تحمل", "امرأة"),
        ("تحمل امرأة قطة", "تحمل", "امرأة"),
        ("عجوز في المقهى تشرب", "تشرب", "عجوز"),
        ("عجوز تحمل حقيبة وتمشي", "وتمشي", "عجوز"),
        ("تقف سيارة حمراء", "تقف", "سيارة"),
        ("تقف في المطبخ", "تقف", None),
        ("تقرأ كتابا", "تقرأ", None),
        ("يرعى الغنم", "يرعى", None),
        ("تنام القطة", "تنام", "القطة"),
        ("صورة لعجائز يغزلن", "يغزلن", "لعجائز"),
        ("امرأة تطبخ بينما يلعب طفل", "يلعب", "طفل"),
        ("تلعب الأطفال", "تلعب", "الأطفال"),
    ],
)
def test_a_verb_finds_its_subject(caption: str, verb: str, subject: str | None) -> None:
    people = People(read(caption))
    written = [caption[reading.word.start : reading.word.end] for reading in people.readings]
    found = people.subject(written.index(verb))
    assert (None if found is None else written[found]) == subject


def test_a_verbal_noun_is_a_verb_only_behind_somebody() -> None:
    for caption, role in (("تعلم الطبخ", "noun"), ("في تعلم الطبخ", "noun"), ("معلمة تعلم طفلا", "verb")):
        people = People(read(caption))
        at = next(index for index, reading in enumerate(people.readings) if reading.word.folded == "تعلم")
        assert people.phrases.roles[at] == role
