"""The ablation's outcome over all words: which words count, what is scored under a patch, against which control."""

import numpy as np
import polars as pl
import pytest

from core.analysis.ablation import Config
from core.analysis.ablation.lexicon import lexicon_summary
from core.analysis.ablation.measures import Measured
from core.causal import word_sets
from core.causal.word_sets import Lexicon, kept_words, of_pairs, side_odds
from core.data.gender_concept import GENDER
from core.study.variant import differences
from tests.promises.test_ablation import IMAGES, ZERO, drawn, frame, resampling

PAIRS = (("woman", "man"), ("girl", "boy"), ("lady", "gentleman"), ("mum", "dad"))


def test_the_odds_are_of_sums_of_probabilities() -> None:
    """woman 0.2 + girl 0.1 against man 0.05 + boy 0.1: ln 2, whatever else there is; a side without words has none."""
    positive = np.array([True, True, False, False])
    log_probs = np.log([[0.2, 0.1, 0.05, 0.1], [0.2, 0.1, 0.3, 0.3]])
    assert side_odds(log_probs, positive) == pytest.approx([np.log(2), np.log(0.5)])
    silent = np.where(positive, log_probs, -np.inf)
    assert np.isnan(side_odds(silent, positive)).all()


def test_a_word_of_both_sides_is_on_none() -> None:
    lexicon = of_pairs([*PAIRS, ("cook", "chef"), ("chef", "cook"), PAIRS[0]])
    assert lexicon.pairs == PAIRS
    assert [word for word, first in zip(lexicon.words, lexicon.positive, strict=True) if first] == [
        one for one, _ in PAIRS
    ]


def test_the_words_kept_hold_nearly_all_of_either_side_and_come_with_their_counterparts() -> None:
    lexicon = Lexicon(PAIRS)
    table = dict.fromkeys(lexicon.words, 1e-9) | {"woman": 0.5, "girl": 0.2, "man": 0.1, "gentleman": 0.05}
    kept = kept_words(np.log([[table[word] for word in lexicon.words]]), lexicon)[0]
    found = {word for word, one in zip(lexicon.words, kept, strict=True) if one}
    assert found == {"woman", "man", "girl", "boy", "gentleman", "lady"}


def test_no_more_words_are_kept_than_the_limit_and_none_that_cannot_be_spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_sets, "MOST", 2)
    lexicon = Lexicon(PAIRS)
    log_probs = np.log([[0.1 + 0.001 * number for number in range(8)]])
    log_probs[0, lexicon.words.index("dad")] = -np.inf
    kept = kept_words(log_probs, lexicon)[0]
    # mum and lady are the likeliest women, gentleman and boy the likeliest men; mum's counterpart cannot be spelled.
    found = {word for word, one in zip(lexicon.words, kept, strict=True) if one}
    assert found == {"lady", "mum", "gentleman", "boy", "girl"}


def words(language: str, effects: dict[str, list[float]], whole: float = 0.0) -> pl.DataFrame:
    own = frame(language, ZERO, effects)
    more = {"whole": pl.col("effect") + whole, "held": pl.lit(0.999), "scored": pl.lit(6)}
    return own.with_columns(**more)


def summary() -> pl.DataFrame:
    """Words shift 2 nats in English and 4 in Arabic, the pairs' own 1 and 3; random sets do nothing."""
    sets = [{image: [0.02 * k] for image in IMAGES} for k in range(-15, 16)]
    parts = []
    for language, shift in (("en", 2.0), ("ar", 4.0)):
        own = {image: [shift + 0.1 * (number % 3)] for number, image in enumerate(IMAGES)}
        pairs = frame(language, ZERO, {image: [shift - 1] for image in IMAGES})
        random = drawn(language, sets)
        parts.append(Measured(pairs, random, pl.DataFrame(), pl.DataFrame(), words(language, own, whole=0.01), random))
    return lexicon_summary(7, parts, resampling(IMAGES))


def test_languages_have_their_own_numbers_beside_the_pairs_own_words() -> None:
    rows = {row["language"]: row for row in summary().rows(named=True)}
    assert list(rows) == ["en", "ar", "all"]
    assert [rows[one]["effect"] for one in rows] == pytest.approx([2.095, 4.095, 3.095])
    assert [rows[one]["own"] for one in rows] == pytest.approx([1, 3, 2])
    assert all(row["low"] < row["effect"] < row["high"] for row in rows.values())


def test_the_sum_has_the_random_sets_as_control_and_no_p_below_their_resolution() -> None:
    for row in summary().rows(named=True):
        assert (row["control"], row["draws"], row["p"]) == (pytest.approx(0), 31, pytest.approx(1 / 32))


def test_how_far_the_scored_words_stand_for_all_is_told() -> None:
    for row in summary().rows(named=True):
        assert row["missed"] == pytest.approx(0.01) and row["whole"] == pytest.approx(row["effect"] + 0.01)
        assert (row["held"], row["scored"]) == (pytest.approx(0.999), 6)


def test_an_image_counts_once_however_many_captions_it_has() -> None:
    own = {"i00": [5.0] * 8, **{image: [1.0] for image in IMAGES[1:]}}
    part = Measured(frame("en", ZERO, own), drawn("en", []), pl.DataFrame(), pl.DataFrame(), words("en", own))
    none = drawn("en", []).cast({"draw": pl.Int64, "effect": pl.Float64, "image_id": pl.String})
    part = Measured(part.effects, none, part.divergence, part.norms, part.words, none)
    assert lexicon_summary(1, [part], resampling(IMAGES))["effect"].to_list() == [pytest.approx(1.2)]


def test_listed_words_are_the_concepts_first_side_first() -> None:
    assert {("woman", "man"), ("her", "his")} <= set(GENDER.pairs("en"))
    assert ("امرأة", "رجل") in GENDER.pairs("ar")


def test_a_study_without_words_and_captions_stays_what_it_was() -> None:
    assert not {"lexicon", "captions"} & set(Config().model_dump())
    asked = {"analyses": {"ablation": Config(lexicon=True, captions=8).model_dump(mode="json")}}
    plain = {"analyses": {"ablation": Config().model_dump(mode="json")}}
    assert differences(plain, asked) == {"analyses.ablation.captions": 8, "analyses.ablation.lexicon": True}
