"""Meaning beyond form: found where the same word differs beside a woman and a man, and nowhere else."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder

from core.analysis.result import Result
from core.analysis.semantics import Config
from core.analysis.semantics.figures import figures
from core.analysis.semantics.run import run
from core.analysis.semantics.words import Place, find_words
from core.report.sentences import sentence
from core.stats.written import with_ends
from tests.planted_words import Row, Words, open_words

FORM, MEANING = 0, 1


def spelled(row: Row) -> float:
    """Fires on feminine forms and, in English, on the words of women's captions that stand for no form."""
    return float(row.form is not None and row.form.form == "female") if row.language == "ar" else 0.0


PLANTED = {FORM: spelled, MEANING: lambda row: float(row.female)}


def measured(world: Words, **config: int) -> Result:
    return run(open_words(world), Config(**{"draws": 99, "bootstrap": 100, "features": 2, **config}))


@pytest.fixture(scope="module")
def agreeing() -> Result:
    return measured(Words(planted=PLANTED, frozen=True))


def feature(result: Result, number: int, place: str, language: str = "ar") -> dict[str, float]:
    return result.tables["features"].filter(language=language, place=place, feature=number).row(0, named=True)


def test_a_feature_of_the_person_keeps_its_auroc_and_one_of_the_form_loses_it(agreeing: Result) -> None:
    meaning, form = (feature(agreeing, number, "after") for number in (MEANING, FORM))
    assert meaning["auroc"] == 1 and meaning["q"] < 0.01
    assert 0.3 < form["auroc"] < 0.7 and form["q"] > 0.05
    assert feature(agreeing, MEANING, "before", "en")["auroc"] == 1


def test_meaning_is_found_beyond_labels_dealt_at_random(agreeing: Result) -> None:
    one = next(one for one in agreeing.estimates if one.name == "meaning.ar.after")
    assert one.verdict == "found" and one.null == 0.5 and one.p is not None and one.p >= 1 / 100
    assert one.control is not None and one.control.low < 0.5 < one.control.high
    for estimate in agreeing.estimates:
        rows = agreeing.tables[estimate.source.table].filter(**estimate.source.key)
        assert rows.height == 1
        assert estimate.verdict == "not tested" or rows[estimate.source.column][0] == estimate.value


def test_the_frozen_dictionary_stands_beside_on_the_same_resamples(agreeing: Result) -> None:
    rows = agreeing.tables["sets"].filter(place="after", language="ar", top=2).rows(named=True)
    for row in rows:
        assert row["auroc"] - row["frozen"] == pytest.approx(row["beyond_frozen"])
        assert row["beyond_frozen_low"] < row["beyond_frozen"] < row["beyond_frozen_high"]
    one = next(one for one in agreeing.estimates if one.name == "meaning.ar.after")
    told = next(caveat for caveat in one.caveats if caveat.startswith("difference to the frozen dictionary's: "))
    own = next(row for row in rows if row["auroc"] == one.value)
    assert told.endswith(with_ends(own, "beyond_frozen"))
    copied = next(caveat for caveat in one.caveats if "may be copied" in caveat)
    assert (one.caveats.index(told) < one.caveats.index(copied)) == (own["beyond_frozen_low"] <= 0)


def test_gendered_words_are_not_identifiable_unless_they_part(agreeing: Result) -> None:
    lost = next(one for one in agreeing.estimates if one.name == "meaning.ar.gendered")
    assert lost.verdict == "not tested" and "not identifiable" in sentence(lost)
    assert agreeing.tables["design"].filter(place="gendered")["inflation"].null_count() == 2
    inputs = open_words(Words(images=160, parted=True, planted=PLANTED))
    labels = inputs.samples.with_columns(gender_ar="gender_en")
    parted = run(inputs.__class__(**{**inputs.__dict__, "samples": labels}), Config(draws=39, bootstrap=50))
    design = parted.tables["design"].filter(place="gendered", language="ar").row(0, named=True)
    assert design["not_identifiable"] == "" and design["inflation"] < 10
    assert feature(parted, MEANING, "gendered")["auroc"] == 1 and feature(parted, FORM, "gendered")["q"] > 0.05


def test_residuals_and_inflation_equal_those_of_a_regression_on_the_words() -> None:
    inputs = open_words(Words(images=64, parted=True, planted=PLANTED))
    words = find_words(inputs, "ar")
    place = Place.of(inputs, words, "ar", "after")
    values = np.random.default_rng(0).normal(size=(words.height, 3))
    plain, left = place.by_image(sparse.csr_array(values[place.rows]))
    kept = words[place.rows]
    dummies = OneHotEncoder(sparse_output=False).fit_transform(kept.select("word").to_numpy())
    fitted = LinearRegression(fit_intercept=False).fit(dummies, values[place.rows])
    residuals = values[place.rows] - fitted.predict(dummies)
    by_image = kept.select("image_id").with_columns(
        *(pl.Series(f"r{column}", residuals[:, column]) for column in range(3)),
        *(pl.Series(f"p{column}", values[place.rows][:, column]) for column in range(3)),
    )
    expected = by_image.group_by("image_id").mean().sort("image_id")
    np.testing.assert_allclose(left, expected.select("r0", "r1", "r2").to_numpy(), atol=1e-10)
    np.testing.assert_allclose(plain, expected.select("p0", "p1", "p2").to_numpy(), atol=1e-10)
    female = kept["female"].to_numpy().astype(float)
    told = LinearRegression(fit_intercept=False).fit(dummies, female)
    assert place.inflation == pytest.approx(1 / (1 - told.score(dummies, female)))


def test_labels_shuffled_by_image_find_nothing() -> None:
    found = []
    for seed in range(4):
        world = Words(planted=PLANTED, labels=np.random.default_rng(seed).permutation, seed=seed)
        found += [one.name for one in measured(world, draws=39).estimates if one.verdict == "found"]
    assert not found


def test_figures_are_drawn_and_words_that_occur_once_are_counted(agreeing: Result) -> None:
    drawn = figures(agreeing.tables)
    assert set(drawn) == {"beyond_form", "features"}
    assert all(figure.caption and figure.chart.to_dict() for figure in drawn.values())
    inputs = open_words(Words(images=8))
    few = run(inputs, Config())
    assert few.tables["design"]["left_out"].sum() > 0 and few.tables["sets"].is_empty()
    assert figures(few.tables) == {} and all(one.verdict == "not tested" for one in few.estimates)
