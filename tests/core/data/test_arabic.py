import unicodedata

from hypothesis import given, strategies

from core.data.arabic import normalise, strippings, words

LETTERS = "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيٱیک"
MARKS = "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652\u0653\u0654\u0670\u0640\u200c\u200f\ufeff"
arabic = strategies.text(alphabet=LETTERS + MARKS + "٠١٢۳۴ ،.ﻻﷲabc", max_size=30)


@given(arabic | strategies.text(max_size=30))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(strategies.text(alphabet=LETTERS, max_size=20), strategies.data())
def test_diacritics_and_tatweel_never_change_the_folded_word(text: str, data: strategies.DataObject) -> None:
    marked = "".join(
        letter + data.draw(strategies.sampled_from(["", "\u064e", "\u0651\u064f", "ـ"])) for letter in text
    )
    assert normalise(marked) == normalise(text)


@given(arabic)
def test_the_feminine_ending_is_never_folded_into_h(text: str) -> None:
    composed = unicodedata.normalize("NFKC", normalise(text))
    assert normalise(text).count("ة") >= text.count("ة")
    assert composed.count("ه") <= text.count("ه") + text.count("ﷲ")


@given(arabic)
def test_every_folded_letter_knows_where_it_stands_in_the_text(text: str) -> None:
    for word in words(text):
        assert len(word.offsets) == len(word.folded)
        assert all(word.start <= offset < word.end for offset in word.offsets)
        assert list(word.offsets) == sorted(word.offsets)
        assert normalise(text[word.start : word.end]) == word.folded


def test_spellings_of_one_word_fold_to_one_form() -> None:
    spellings = ["مُعَلِّمَةٌ", "معلمة", "مـعـلـمـة", "معلمة\u200f"]
    assert {normalise(spelling) for spelling in spellings} == {"معلمة"}
    assert normalise("إمرأة") == normalise("امرأة")
    assert normalise("فتى") == normalise("فتي")
    assert normalise("٣ ۴ 5") == "3 4 5"


def test_a_hamza_written_apart_is_the_letter_it_makes() -> None:
    assert normalise("مو\u0654نث") == normalise("مؤنث") == "مؤنث"


def test_letters_of_other_keyboards_are_the_arabic_ones() -> None:
    assert normalise("دکتورۃ") == normalise("دكتورة") == "دكتورة"
    assert normalise("ممرضہ گاتب پائع") == "ممرضه كاتب بائع"
    assert normalise("یلعبے") == "يلعبي"


def test_a_word_keeps_how_it_is_spelt() -> None:
    found = {word.folded: word for word in words("إِمام المسجد على مدرّسة امر\u00adأة")}
    assert found["امام"].spelt == "إمام" and found["علي"].spelt == "على"
    assert found["مدرسة"].has_shadda and not found["المسجد"].has_shadda
    assert (found["امراة"].start, found["امراة"].end) == (24, 30)


def test_the_whole_word_is_read_before_anything_is_stripped() -> None:
    for word in ("والد", "فتاة", "بنت", "كاتب"):
        assert strippings(word)[0].stem == word


def test_clitics_come_off_in_their_order_and_the_feminine_ending_is_restored() -> None:
    stems = {(reading.stem, reading.owner) for reading in strippings("وبصديقته")}
    assert ("صديقة", "ه") in stems
    assert "سيدات" in {reading.stem for reading in strippings("للسيدات") if reading.is_definite}
    assert "طبيبة" in {reading.stem for reading in strippings("وبالطبيبة")}
    assert not {reading.stem for reading in strippings("البوطبيبة")} & {"طبيبة"}, "و does not follow ب"


def test_nothing_shorter_than_two_letters_is_left() -> None:
    assert all(len(reading.stem) >= 2 for word in ("والد", "به", "وله", "ال") for reading in strippings(word))
