"""Form and referent: told apart where they part, and left alone where they never do."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from core.analysis.morphology import Config
from core.analysis.morphology.figures import figures
from core.analysis.morphology.run import run
from core.analysis.result import Result
from core.report.sentences import sentence
from tests.planted_words import Row, Words, open_words

FORM, REFERENT, EVERYWHERE = 0, 1, 2


def feminine(row: Row) -> float:
    """Fires on feminine forms, and in English on women, so that it is a gender feature."""
    return float(row.form is not None and row.form.form == "female") if row.language == "ar" else float(row.female)


PLANTED = {FORM: feminine, REFERENT: lambda row: float(row.female), EVERYWHERE: lambda row: 1.0}


def measured(world: Words, **config: int) -> Result:
    return run(open_words(world), Config(**{"draws": 999, "features": 4, **config}))


@pytest.fixture(scope="module")
def parted() -> Result:
    return measured(Words(images=160, parted=True, planted=PLANTED))


@pytest.fixture(scope="module")
def agreeing() -> Result:
    return measured(Words(images=128, planted=PLANTED, frozen=True))


def effects(result: Result, words: str, feature: int) -> dict[str, float]:
    row = result.tables["features"].filter(words=words, suffix="", feature=feature).row(0, named=True)
    return {name: row[name] for name in ("form", "referent", "both", "follows")}


def test_a_full_crossing_gives_the_planted_effects(parted: Result) -> None:
    form, referent = (effects(parted, "person", feature) for feature in (FORM, REFERENT))
    # One of two levels at half of the words: the difference is about two standard deviations.
    assert form["form"] == pytest.approx(2, abs=0.1) and abs(form["referent"]) < 0.1 and abs(form["both"]) < 0.2
    assert referent["referent"] == pytest.approx(2, abs=0.1) and abs(referent["form"]) < 0.1
    assert (form["follows"], referent["follows"]) == ("form", "referent")
    assert effects(parted, "person", EVERYWHERE)["follows"] == "neither"


def test_the_effects_equal_differences_between_the_cells(parted: Result) -> None:
    words = parted.tables["words"].filter(sort="person")
    cells = parted.tables["design"].filter(words="person", suffix="").row(0, named=True)
    for form in ("female", "male"):
        for female in (True, False):
            name = f"{'feminine' if form == 'female' else 'masculine'}_{'female' if female else 'male'}"
            assert cells[name] == words.filter(form=form, referent_female=female).height > 0
    assert cells["inflation"] < 2 and cells["not_identifiable"] == ""


def test_what_was_planted_is_found_for_gender_features(parted: Result, agreeing: Result) -> None:
    found, others = ({one.name: one for one in result.estimates} for result in (parted, agreeing))
    assert found["form.person"].verdict == "found" and found["form.person.ah"].verdict == "found"
    assert others["referent.owned"].verdict == "found" and others["referent.owned"].value > 0.5
    for result in (parted, agreeing):
        for one in result.estimates:
            rows = result.tables[one.source.table].filter(**one.source.key)
            assert rows.height == 1
            if one.verdict != "not tested":
                assert rows[one.source.column][0] == one.value and one.p is not None and one.p >= 1 / 1000


def test_the_family_holds_the_effects_that_findings_speak_of_and_no_other(parted: Result) -> None:
    tested = [one for one in parted.estimates if one.p is not None]
    q = stats.false_discovery_control([one.p for one in tested])
    assert q == pytest.approx([one.q for one in tested])
    assert {one.family for one in tested} == {f"{len(tested)} effects"}
    sets = parted.tables["sets"].filter(pl.col("suffix") != "", effect="referent")
    assert sets.height > 0 and not [
        one for one in tested if one.name.startswith("referent") and one.name.endswith("ah")
    ]
    few = measured(Words(images=160, parted=True, planted=PLANTED), draws=19).estimates
    caveats = [one.caveats for one in few if one.p is not None]
    assert caveats and all("no p is below 0.05" in one[0] for one in caveats)


def test_a_control_of_dealt_labels_stands_beside_every_number(parted: Result) -> None:
    for one in parted.estimates:
        if one.verdict != "not tested":
            assert one.control is not None and "at random" in one.control.what and one.control.draws <= 999
            assert one.control.low < 0.1 and one.control.high > -0.1


def test_words_that_always_agree_are_not_identifiable(agreeing: Result) -> None:
    design = agreeing.tables["design"]
    lost = design.filter(words="person", suffix="").row(0, named=True)
    assert lost["not_identifiable"] == "the form always agrees with the person" and lost["inflation"] is None
    assert agreeing.tables["features"].filter(words="person").is_empty()
    one = next(one for one in agreeing.estimates if one.name == "form.person")
    assert one.verdict == "not tested" and one.answers and "not identifiable" in sentence(one)
    assert not [one for one in agreeing.estimates if one.name == "form.owned.tha"]
    assert any("تها against ته" in note for note in agreeing.notes)


def test_form_is_told_from_referent_on_owned_things(agreeing: Result) -> None:
    assert (agreeing.tables["design"].filter(pl.col("words") != "person", suffix="")["not_identifiable"] == "").all()
    form, referent = (effects(agreeing, "owned", feature) for feature in (FORM, REFERENT))
    assert form["follows"] == "form" and referent["follows"] == "referent"
    row = agreeing.tables["features"].filter(words="owned", suffix="", feature=FORM).row(0, named=True)
    assert row["form_low"] < row["form"] < row["form_high"] and row["form_least"] <= row["form"] <= row["form_most"]


def test_the_generic_masculine_is_a_class_of_its_own() -> None:
    by_person = {0: lambda row: float(not row.female), 1: feminine}
    result = measured(Words(images=144, generic=True, planted=by_person), features=1)
    classes = dict(result.tables["strata"].group_by("stratum").agg(pl.col("samples").sum()).iter_rows())
    assert classes == {"both tell the same": 96, "generic masculine": 48}
    one = next(one for one in result.estimates if one.name == "generic")
    assert one.verdict == "found" and one.value == pytest.approx(-2, abs=0.2) and "generic masculine" in one.quantity
    assert any("expected, no error" in note for note in result.notes)
    assert result.tables["words"].filter(pl.col("referent_female").is_null()).height > 0
    by_form = measured(Words(images=144, generic=True, planted={1: feminine}), features=1)
    assert next(one for one in by_form.estimates if one.name == "generic").verdict in ("not found", "not tested")


def test_labels_shuffled_by_image_find_nothing() -> None:
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation
        result = measured(Words(planted=PLANTED, labels=shuffled, seed=seed), draws=39)
        assert not [one.name for one in result.estimates if one.verdict == "found"]


def test_figures_are_drawn_and_one_language_says_why_not(agreeing: Result) -> None:
    drawn = figures(agreeing.tables)
    assert set(drawn) == {"effects", "suffixes", "follow"}
    assert all(figure.caption and figure.chart.to_dict() for figure in drawn.values())
    inputs = open_words(Words(images=8))
    english = inputs.__class__(**{**inputs.__dict__, "languages": ("en",)})
    result = run(english, Config())
    assert "no Arabic captions" in result.notes[0] and figures(result.tables) == {}


def test_a_study_without_people_has_no_estimates() -> None:
    inputs = open_words(Words(images=8))
    nobody = inputs.samples.with_columns(pl.lit("none").alias("gender_en"), pl.lit("none").alias("gender_ar"))
    result = run(inputs.__class__(**{**inputs.__dict__, "samples": nobody}), Config())
    assert result.estimates == () and result.tables["design"]["occurrences"].sum() == 0
