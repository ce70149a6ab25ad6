"""Amplification's further parts: two kinds of random directions, fluency, doses in range, prompting beside steering."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.amplification.caption_measures import distinct, measures, measures_of, words_of
from core.analysis.amplification.dose_response import summarise_slopes
from core.analysis.amplification.fluency import CLEAN, balanced, summarise_captions, written_schema
from core.analysis.amplification.further_findings import Place, further_estimates
from core.analysis.amplification.mid_dose import mid_doses
from core.analysis.amplification.prompting import COMPARED, SCORES, corrected
from core.analysis.amplification.vectors import VECTOR_SLOPES, beside_directions
from core.analysis.amplification.vectors import corrected as corrected_vectors
from core.causal.pairs import MinimalPair
from core.causal.steering import FEATURES
from core.causal.steering_vectors import COVARIANCE, ISOTROPIC
from core.causal.written import Cost
from core.data.gender_concept import GENDER
from tests.promises.test_ablation import resampling
from tests.promises.test_amplification import IMAGES, random_slopes, responses

PLACE = Place(3, "", "2 features associated with gender", GENDER, "test images")


def slopes(isotropic: Any, covariance: Any) -> pl.DataFrame:
    own = pl.concat([responses({-1.0: -2.0, 0.0: 0.0, 1.0: 2.0}, vector=name) for name in (FEATURES, "LDA")])
    images = resampling(IMAGES)
    kinds = {ISOTROPIC: isotropic, COVARIANCE: covariance}
    return beside_directions(
        {kind: summarise_slopes(3, own, random_slopes(drawn), images) for kind, drawn in kinds.items()}
    )


def test_the_p_of_a_vector_is_the_larger_of_those_against_both_kinds() -> None:
    easy, hard = np.linspace(-1, 1, 99), np.linspace(-9, 9, 99)
    for one, other in ((easy, hard), (hard, easy)):
        row = slopes(one, other).row(0, named=True)
        assert row["p"] == max(row["isotropic_p"], row["covariance_p"]) > 0.5
        assert min(row["isotropic_p"], row["covariance_p"]) == pytest.approx(0.01)
        assert row["draws"] == 99
    assert slopes(easy, easy)["p"].to_list() == pytest.approx([0.01, 0.01])


def test_without_one_kind_there_is_no_p() -> None:
    table = slopes(np.linspace(-1, 1, 99), np.zeros(0))
    assert table["p"].null_count() == 2 and table["draws"].to_list() == [0, 0]


def test_q_is_over_vectors_and_languages() -> None:
    rows = [
        {"layer": 3, "language": language, "vector": vector, "p": p}
        for language, vector, p in (("en", "a", 0.01), ("ar", "a", 0.02), ("en", "b", 0.03), ("ar", "b", 0.9))
    ]
    found = corrected_vectors(pl.DataFrame(rows, schema=VECTOR_SLOPES))
    np.testing.assert_allclose(found["q"], [0.04, 0.04, 0.04, 0.9])


def test_variety_and_repetition_are_of_words() -> None:
    words = words_of("A woman, a woman: a WOMAN. a woman!")
    assert words == ["a", "woman"] * 4
    assert distinct(words, 1) == 2 / 8 and distinct(words, 2) == 2 / 7
    found = measures("A woman, a woman: a woman. a woman!", "en", Cost(1.0, 2.0), GENDER)
    assert set(found) == set(measures_of(GENDER))
    assert found["repetition"] == pytest.approx(1 - 2 / 5)
    assert (found["ce"], found["ce_other"], found["words"]) == (1.0, 2.0, 8.0)
    assert found["gendered"] == 0.5 and found["female"] == 1.0 and found["male"] == 0.0
    short = measures("a dog", "en", Cost(1.0, 2.0), GENDER)
    assert math.isnan(short["repetition"]) and short["gendered"] == 0
    assert measures("رجل يغني", "ar", Cost(1.0, 2.0), GENDER)["male"] == 1.0
    assert math.isnan(measures("", "en", Cost(math.nan, math.nan), GENDER)["distinct_1"])


def captions(vector: str, dose: float, ce: Any, language: str = "en") -> pl.DataFrame:
    costs = np.broadcast_to(ce, len(IMAGES))
    rows = [
        {
            "language": language,
            "vector": vector,
            "dose": dose,
            "image_id": image,
            "sample_id": image,
            "text": "a dog",
            **measures("a dog", language, Cost(float(cost), float(cost)), GENDER),
        }
        for image, cost in zip(IMAGES, costs, strict=True)
    ]
    return pl.DataFrame(rows, schema=written_schema(GENDER))


def fluency(own: Any, random: Any = (0.0, 0.2), languages: tuple[str, ...] = ("en",)) -> pl.DataFrame:
    before = np.linspace(1, 2, len(IMAGES))
    frames = []
    for language in languages:
        frames.append(captions(CLEAN, 0.0, before, language))
        frames += [captions(FEATURES, dose, before + own * dose, language) for dose in (1.0, 2.0)]
        frames += [
            captions(f"isotropic {number}", dose, before + extra * dose, language)
            for number, extra in enumerate(random)
            for dose in (1.0, 2.0)
        ]
    norms = {(language, dose): dose * 0.6 for language in languages for dose in (1.0, 2.0)}
    return summarise_captions(3, pl.concat(frames), norms, resampling(IMAGES))


def test_fluency_is_a_change_from_the_clean_captions_beside_random_vectors_at_the_dose() -> None:
    found = fluency(0.5)
    row = found.filter(measure="ce_other", dose=2.0).row(0, named=True)
    assert row["value"] == pytest.approx(2.5) and row["change"] == pytest.approx(1.0)
    assert (row["control"], row["control_low"], row["control_high"]) == pytest.approx((0.2, 0.0, 0.4))
    assert row["draws"] == 2 and row["p"] < 0.01
    clean = found.filter(measure="ce_other", dose=0.0).row(0, named=True)
    assert clean["value"] == pytest.approx(1.5) and clean["change"] is None and clean["p"] is None


def test_as_costly_as_random_vectors_is_no_finding() -> None:
    assert (fluency(0.1).filter(measure="ce_other")["p"].drop_nulls() > 0.5).all()


def test_doses_beyond_the_streams_own_length_are_marked() -> None:
    found = fluency(0.5).filter(measure="ce")
    assert dict(found.select("dose", "out_of_range").iter_rows()) == {0.0: False, 1.0: False, 2.0: True}


def test_q_of_captions_is_over_doses_and_languages_of_a_measure() -> None:
    table = fluency(0.5, languages=("en", "ar")).filter(measure="ce_other").drop_nulls("p")
    assert table.height == 4
    assert table["q"].to_list() == pytest.approx([table["p"].max()] * 4)


def test_captions_are_written_for_each_image_once_and_for_either_side_alike() -> None:
    def pair(image: str, caption: str, side: str) -> Any:
        from types import SimpleNamespace

        return SimpleNamespace(image_id=image, sample_id=caption, side=side)

    pairs = [pair(f"i{n}", f"i{n}{c}", "female" if n < 6 else "male") for n in range(9) for c in "ab"]
    chosen: list[MinimalPair] = balanced(pairs, 6)
    assert [one.sample_id for one in chosen] == ["i0a", "i1a", "i2a", "i6a", "i7a", "i8a"]
    assert len(balanced(pairs, 99)) == 9


def turning(norm: float, vector: str = FEATURES) -> pl.DataFrame:
    """Images turn one after the other as the dose grows; the last doses fall back to 0."""
    turns = np.linspace(-1.2, 1.2, len(IMAGES))
    doses = {dose: np.where(dose > turns, 1.0, -1.0) for dose in (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)}
    return responses({**doses, 4.0: -1.0}, vector=vector, norm=norm)


def test_the_logistic_curve_is_of_doses_in_range() -> None:
    row = mid_doses(3, turning(0.3), 30, resampling(IMAGES)).row(0, named=True)
    assert row["doses"] == 7 and row["reason"] == ""
    assert abs(row["mid_dose"]) < 0.1 and row["low"] < row["mid_dose"] < row["high"]
    assert row["r2"] > 0.98 and row["resamples"] >= 27


def test_a_curve_that_is_not_fitted_says_why_and_is_no_estimate() -> None:
    flat = responses(dict.fromkeys((-2.0, -1.0, 0.0, 1.0, 2.0), 1.0), vector=FEATURES)
    few = turning(2.0, "LDA")
    table = mid_doses(3, pl.concat([flat, few]), 30, resampling(IMAGES))
    assert table["reason"].to_list() == ["the rates do not span", "too few doses"]
    assert table["mid_dose"].null_count() == table["low"].null_count() == 2
    assert list(further_estimates({"mid_dose": table}, PLACE)) == []


def test_q_of_prompting_is_over_languages_and_scores_of_the_differences() -> None:
    ps = {"en": (0.01, 0.02, 0.9), "ar": (0.03, None, None)}
    rows = [{"language": language, "method": "prompting"} for language in ps]
    rows += [
        {"language": language, "method": "less", **dict(zip((f"{score}_p" for score in SCORES), own, strict=True))}
        for language, own in ps.items()
    ]
    found = corrected(pl.DataFrame(rows, schema=COMPARED))
    assert found.schema == COMPARED
    q = found.filter(method="less").select(f"{score}_q" for score in SCORES).rows()
    assert q[0] == pytest.approx((0.04, 0.04, 0.9)) and q[1] == (pytest.approx(0.04), None, None)
    assert found.filter(method="prompting").select(f"{score}_q" for score in SCORES).null_count().row(0) == (2, 2, 2)
    assert corrected(pl.DataFrame([], schema=COMPARED)).is_empty()


def test_estimates_name_their_rows() -> None:
    tables = {
        "vector_slopes": corrected_vectors(slopes(np.linspace(-1, 1, 99), np.linspace(-1, 1, 99))),
        "fluency": fluency(0.5),
        "rates": pl.DataFrame({"language": ["en"], "dose": [2.0]}),
        "mid_dose": mid_doses(3, turning(0.3), 30, resampling(IMAGES)),
    }
    found = {one.name: one for one in further_estimates(tables, PLACE)}
    assert {"vector_slope.features.en", "vector_slope.lda.en", "written_ce_other.en", "mid_dose.en"} <= set(found)
    assert found["vector_slope.lda.en"].verdict == "found" and found["mid_dose.en"].verdict == "not tested"
    for one in found.values():
        place = tables[one.source.table].filter(**one.source.key)
        assert place.height == 1 and place[one.source.column].item() == one.value
