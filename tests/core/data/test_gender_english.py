import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.english_lexicon import english_lexicon, is_plural, role_of
from core.data.gender_english import label_english
from core.data.gender_words import lexicon_file


def gendered(text: str) -> list[tuple[str, str, str, str]]:
    return [(word.text, word.gender, word.referent, word.kind) for word in label_english(text).tokens]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The fiance\u0301e smiles.", ["fiance\u0301e"]),
        ("A wo\u00adman reads.", ["wo\u00adman"]),
        ("A gentle-\nman reads.", ["gentle-\nman"]),
        ("\uff37\uff4f\uff4d\uff41\uff4e reads.", ["\uff37\uff4f\uff4d\uff41\uff4e"]),
        ("A \ufb01reman and his hose", ["\ufb01reman", "his"]),
        ("Yes, ma\u2019am.", ["ma\u2019am"]),
        ("My step-mother and a police-woman", ["step-mother", "police-woman"]),
        ("The g\u200birl\u2019s bike", ["g\u200birl\u2019s"]),
        ("FIANC\u00c9E AND FIANC\u00c9", ["FIANC\u00c9E", "FIANC\u00c9"]),
    ],
)
def test_words_are_looked_up_as_they_are_seen_and_found_as_they_are_written(text: str, words: list[str]) -> None:
    found = label_english(text).tokens
    assert [word.text for word in found] == words
    assert all(text[word.start : word.end] == word.text for word in found)


def test_a_name_is_a_gendered_word_of_its_own_kind() -> None:
    assert gendered("Behind the house, Sarah waters her roses.") == [
        ("Sarah", "female", "subject", "name"),
        ("her", "female", "possessor", "possessive"),
    ]
    assert gendered("A girl named James runs.") == [("girl", "female", "subject", "noun")]
    assert gendered("Alexis shaves his beard.") == [("his", "male", "possessor", "possessive")]
    assert gendered("Mr. James waves.") == [("Mr", "male", "subject", "title"), ("James", "male", "subject", "name")]


def test_words_that_name_nobody_are_no_gendered_words() -> None:
    assert [word[0] for word in gendered("On a king-size bed, a mother cat sleeps beside a woman.")] == ["woman"]
    assert [word[0] for word in gendered("A sign that says MEN hangs above her desk.")] == ["her"]
    assert [word[0] for word in gendered("A man walks his dog while she sniffs the grass.")] == ["man", "his"]
    assert gendered("No women, no men, only Queen Street and the ship on her maiden voyage.") == []


def test_referents_pass_over_words_that_name_nobody() -> None:
    assert gendered("A king-size bed with a woman")[0][2] == "subject"
    assert gendered("A man beside a woman")[1][2] == "other"


@pytest.mark.parametrize(
    ("text", "gender"),
    [
        ("Alexis shaves his beard.", "male"),
        ("A pregnant person waits.", "neutral"),
        ("A mother and her kittens nap.", "none"),
        ("A cow licks a calf and nuzzles her.", "none"),
    ],
)
def test_a_caption_that_can_be_read_otherwise_says_so(text: str, gender: str) -> None:
    label = label_english(text)
    assert (label.gender, label.ambiguous) == (gender, True)


def test_a_plain_caption_is_not_ambiguous() -> None:
    for text in ("A woman and her dog", "Sarah reads her book.", "A dog waits for her.", "A cat washes herself."):
        assert not label_english(text).ambiguous


def test_a_plural_has_the_gender_of_its_singular() -> None:
    raw = lexicon_file("english")
    uncounted = {"marquis"}  # marquises are of either gender
    for role, name in (("female", "female"), ("male", "male"), ("person", "neutral")):
        for word in set(raw[name]) - set(raw["titles"]) - uncounted:
            plural = _plural(word)
            assert role_of(word) == role, word
            assert role_of(plural) == role, plural
            assert is_plural(plural), plural


def _plural(word: str) -> str:
    if word.endswith("man") and word != "shaman":
        return word[:-2] + "en"
    if word.endswith("wife"):
        return word[:-2] + "ves"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")


def test_no_phrase_for_a_thing_names_anybody() -> None:
    for text in lexicon_file("english")["phrases"]["thing"]:
        assert label_english(f"On the table, {text}.").gender == "none", text


def test_the_lists_hold_no_word_twice_and_no_word_that_cannot_match() -> None:
    sets = english_lexicon().sets
    assert not sets["female"] & sets["male"] and not (sets["female"] | sets["male"]) & sets["neutral"]
    assert not (sets["female"] | sets["male"] | sets["neutral"]) & sets["animals"]
    for name, words in sets.items():
        assert all(word == word.lower() and word.isalpha() for word in words), name


CAPTIONS = ("A woman and her dog", "The king's crown", "Two policemen near a bus", "A mother cat", "Sarah reads.")


@given(st.sampled_from(CAPTIONS), st.data())
def test_what_no_reader_sees_changes_no_label(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    unseen = data.draw(st.sampled_from(["\u00ad", "\u200b", "\u200d", "\ufe0f", "\u034f", "\u2060"]))
    assert label_english(text[:at] + unseen + text[at:]).gender == label_english(text).gender


PIECES = ("a", "the man", "Queen's", "her", "/", "-", "'", '"', "says", "he or she", "dog", "sign", "Sarah")


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES)).map(" ".join))
def test_any_text_has_a_label_whose_words_stand_in_it(text: str) -> None:
    label = label_english(text)
    assert all(text[word.start : word.end] == word.text and word.text for word in label.tokens)
    assert [word.start for word in label.tokens] == sorted(word.start for word in label.tokens)
