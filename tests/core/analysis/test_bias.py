"""A model whose words follow planted rates where the picture shows nothing, and one whose words follow nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.bias import Config
from core.analysis.bias.figures import figures
from core.analysis.bias.hidden import OF_ALL, OF_HIDDEN, ask_hidden
from core.analysis.bias.rates import AMPLIFIED
from core.analysis.bias.run import run
from core.analysis.result import Result
from core.causal.asked_words import ASKED, AT_WORD
from core.data.visible import AGREEMENT
from core.errors import BadInput
from core.features.inputs import AnalysisInputs
from core.report.sentences import verdicts
from core.stats.estimate import Estimate
from tests.core.features.planted_world import World, make_inputs, no_model, read_planted_sets

JOBS = [f"job {number:02d}" for number in range(12)]
RATES = dict(zip(JOBS, np.linspace(0.05, 0.95, 12).tolist(), strict=True))
CONFIG = Config(layers=(0, 2, 3), position_sets=("last-prompt",), bootstrap=200, permutations=199, shuffles=99)
WORLD = World(images=480, layers=4)
TEXTS = {("en", 1): "A woman sings.", ("en", 0): "A man sings.", ("ar", 1): "امرأة تغني", ("ar", 0): "رجل يغني"}


def inputs(seed: int = 0, shuffled: bool = False) -> AnalysisInputs:
    """Every other image shows no gender; their labels, which the stream has from layer 1 on, are drawn at the rate of
    the profession. With `shuffled`, professions say nothing."""
    plain = make_inputs(WORLD, lambda: SimpleNamespace(unwritable=""))
    rng = np.random.default_rng(seed)
    samples, size = plain.samples, plain.samples.height
    hidden = np.arange(size) // 2 % 2 == 0
    female = (samples["gender_en"] == "female").to_numpy()
    weight = np.array([[1 - rate, rate] for rate in RATES.values()])
    jobs = [rng.choice(JOBS, p=weight[:, int(one)] / weight[:, int(one)].sum()) for one in female]
    jobs = rng.permutation(jobs).tolist() if shuffled else jobs
    shown = np.where(hidden, "neutral", np.where(female, "woman", "man"))
    columns = {
        "profession": jobs,
        "place": rng.choice(["park", "sea", "city", "farm", "hall"], size),
        "visible_gender": shown,
    }
    samples = samples.with_columns(**{name: pl.Series(values) for name, values in columns.items()})
    samples = samples.with_columns(
        pl.Series("split", rng.permutation(["train"] * (size // 2) + ["select", "test"] * (size // 4)))
    )
    truth = {"female_rate_of_neutral": RATES}
    views = {layer: replace(plain.open_layer(layer), samples=samples) for layer in plain.layers}
    return replace(plain, samples=samples, truth=truth, open_layer=views.__getitem__)


def model(patch: pytest.MonkeyPatch, rates: Mapping[str, float], spread: float = 0.05) -> None:
    """Words and captions that follow the profession's rate."""

    def ask(own: AnalysisInputs, _loaded: Any, rows: pl.DataFrame, language: str) -> tuple[pl.DataFrame, Counter[str]]:
        rng = np.random.default_rng(len(language) + ord(language[0]))
        found = []
        for row in rows.iter_rows(named=True):
            rate = float(np.clip(rates[row["profession"]] + spread * rng.standard_normal(), 0.01, 0.99))
            logs = (np.log(0.9 * rate), np.log(0.9 * (1 - rate)), np.log(0.1))
            found.append((row["sample_id"], row["image_id"], language, AT_WORD, *map(float, logs), rate, 0.1))
        return pl.DataFrame(found, schema=ASKED, orient="row"), Counter({"no caption": 3})

    def generate(_loaded: Any, prompts: Sequence[Any], _most: int) -> list[str]:
        return [TEXTS[(one.language, int(rates[one.profession] > 0.5))] for one in prompts]

    def request(own: AnalysisInputs, row: Mapping[str, Any], language: str, _caption: str) -> Any:
        return SimpleNamespace(language=language, profession=row["profession"])

    patch.setattr("core.analysis.bias.hidden.ask", ask)
    patch.setattr("core.analysis.bias.written.generate", generate)
    patch.setattr("core.analysis.bias.written.request", request)
    patch.setattr("core.analysis.bias.written.encode_sample", lambda _loaded, asked: asked)
    patch.setattr("core.features.row_groups.position_sets", read_planted_sets)


@pytest.fixture(scope="module")
def result() -> Result:
    with pytest.MonkeyPatch.context() as patch:
        model(patch, RATES)
        return run(inputs(), CONFIG)


def named(result: Result) -> dict[str, Estimate]:
    return {one.name: one for one in result.estimates}


def test_a_model_whose_words_follow_the_profession_differs_by_profession_and_not_by_place(result: Result) -> None:
    assert verdicts(result.estimates) == {"en": "found", "ar": "found"}
    found = named(result)
    assert found["spread.place.en"].verdict == "not found" == found["spread.place.ar"].verdict
    assert {one.name for one in result.estimates if one.answers} == {"spread.profession.en", "spread.profession.ar"}
    assert "P(female)" in found["spread.profession.en"].planted


def test_rates_stand_beside_the_planted_ones_with_their_intervals(result: Result) -> None:
    table = result.tables["rates"].filter(column="profession", language="en")
    assert dict(table.select("group", "planted").iter_rows()) == RATES
    assert (table["rate"] - table["planted"]).abs().max() < 0.05
    assert ((table["rate_low"] <= table["rate"]) & (table["rate"] <= table["rate_high"])).all()
    assert result.tables["rates"].filter(column="place")["planted"].is_null().all()
    found = named(result)
    assert found["planted_rho.profession.en"].value > 0.98 and found["planted_rho.profession.en"].verdict == "found"
    assert found["planted_error.profession.en"].value < 0.05 and found["planted_error.profession.en"].described


def test_the_table_to_read_has_one_row_per_group_with_both_languages(result: Result) -> None:
    table = result.tables["by_group"]
    assert table.filter(column="profession")["group"].to_list() == JOBS  # in the order of the planted rate
    places = result.tables["rates"].filter(column="place", language="en").sort("rate")["group"].to_list()
    assert table.filter(column="place")["group"].to_list() == places != sorted(places)  # nothing is planted
    row = table.row(0, named=True)
    rate = result.tables["rates"].filter(column="profession", group=JOBS[0], language="ar").row(0, named=True)
    assert row["rate_ar"] == f"{rate['rate']:.2f} [{rate['rate_low']:.2f}, {rate['rate_high']:.2f}]"
    assert row["labels_en"].endswith(f" of {rate['labelled']}") and row["captions_en"].startswith("0.00 of ")
    assert result.tables["read_at"].height == 4 and result.tables["read_at"]["chosen"].all()


def test_neutral_words_stand_beside_and_captions_left_out_are_counted(result: Result) -> None:
    row = result.tables["overall"].row(0, named=True)
    assert row["neutral"] == pytest.approx(0.1) and row["likely"] == pytest.approx(1)
    assert row["images"] == 240 and 0.3 < row["rate_low"] < row["rate"] < row["rate_high"] < 0.7
    assert any("Left out: 3: no caption" in line for line in result.notes)
    assert result.notes[0].startswith("Whether images show the gender is told by the column visible_gender: 240 do")


def test_generated_captions_are_counted_by_what_they_tell(result: Result) -> None:
    shares = result.tables["shares"].filter(column="profession", language="en")
    assert shares.filter(pl.col("planted") > 0.5)["share"].to_list() == [1.0] * 6
    assert shares.filter(pl.col("planted") < 0.5)["first"].sum() == 0
    assert shares["captions"].sum() == 200 == result.tables["written"].filter("shown", language="en").height
    assert named(result)["written_rho.profession.ar"].verdict == "found"
    assert named(result)["written_share.en"].described


def test_words_that_lean_as_far_as_the_data_amplify_nothing_and_captions_of_the_likelier_side_do(
    result: Result,
) -> None:
    found = named(result)
    assert found["amplification.profession.en"].verdict == "not found"
    assert abs(found["amplification.profession.en"].value) < 0.08
    captions = found["amplified_side.hidden.en"]
    assert captions.verdict == "found" and captions.value > 0.1


def test_where_in_the_layers_it_is_read_beside_what_is_seen(result: Result) -> None:
    table = result.tables["readable"].filter(against="asked")
    early, late = table.filter(layer=0), table.filter(layer=3)
    assert late["value"].min() > 0.7 and late["p_curve"].max() <= 0.05
    assert late["auroc"].min() > 0.9 > 0.7 > early["auroc"].max()
    assert set(table.filter("chosen")["layer"]) <= {2, 3}
    assert named(result)["readable.last-prompt.en"].verdict == "found"
    assert named(result)["readable_planted.last-prompt.ar"].verdict == "found"


def test_the_probe_is_fitted_on_no_picture_that_does_not_show_it(result: Result) -> None:
    own = inputs().samples
    shown = own.filter(pl.col("visible_gender") != "neutral")
    table = result.tables["readable"]
    assert set(table["train_images"]) == {shown.filter(split="train").height}
    assert set(table["test_images"]) == {shown.filter(split="test").height}


def test_every_estimate_is_an_entry_of_its_table_and_figures_are_drawn(result: Result) -> None:
    for one in result.estimates:
        row = result.tables[one.source.table].filter(pl.lit(True), **one.source.key)
        assert row.height == 1 and row[one.source.column].item() == one.value, one.name
    drawn = figures(result.tables)
    assert set(drawn) == {"rates", "rates_place", "shares", "readable"}
    assert all(figure.caption and figure.chart.to_dict() for figure in drawn.values())


def test_a_model_whose_words_follow_nothing_is_not_found_to_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    model(monkeypatch, RATES)
    config = CONFIG.model_copy(update={"layers": (2,), "written": 0, "groups": ("place",)})
    told = [run(inputs(seed), config).estimates for seed in range(1, 7)]
    found = sum(one.verdict == "found" for some in told for one in some if one.name.startswith("spread"))
    assert found <= 1
    model(monkeypatch, dict.fromkeys(JOBS, 0.5))
    even = run(inputs(), CONFIG.model_copy(update={"layers": (2,), "written": 0}))
    assert set(verdicts(even.estimates).values()) == {"not found"}
    assert named(even)["planted_rho.profession.en"].verdict == "not found"


def test_professions_that_say_nothing_of_the_stream_are_read_in_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    model(monkeypatch, RATES)
    told = [named(run(inputs(seed, shuffled=True), CONFIG.model_copy(update={"written": 0}))) for seed in range(1, 5)]
    assert sum(one["readable.last-prompt.en"].verdict == "found" for one in told) <= 1


def test_a_model_that_leans_farther_than_the_data_amplifies(monkeypatch: pytest.MonkeyPatch) -> None:
    model(monkeypatch, {job: 0.02 if rate < 0.5 else 0.98 for job, rate in RATES.items()})
    farther = run(inputs(), CONFIG.model_copy(update={"layers": (2,), "written": 0}))
    one = named(farther)["amplification.profession.en"]
    assert one.verdict == "found" and one.value > 0.1
    assert farther.tables["over_groups"].filter(measure=AMPLIFIED, column="place")["p"].min() > 0.01


def test_labels_are_those_of_hidden_pictures_but_where_few_have_any(monkeypatch: pytest.MonkeyPatch) -> None:
    model(monkeypatch, RATES)
    own = inputs()
    assert set(ask_hidden(own, CONFIG).labels_of.values()) == {OF_HIDDEN}
    hidden = pl.col("visible_gender") == "neutral"
    unlabelled = own.samples.with_columns(
        pl.when(hidden).then(pl.lit("neutral")).otherwise("gender_en").alias("gender_en")
    )
    found = ask_hidden(replace(own, samples=unlabelled), CONFIG)
    assert found.labels_of == {"en": OF_ALL, "ar": OF_HIDDEN}
    made = own.samples.with_columns(is_flipped=hidden & (pl.int_range(pl.len()) % 2 == 0))
    assert set(ask_hidden(replace(own, samples=made), CONFIG).labels.filter(language="en")["label"]) == {0.0}


def test_rows_made_as_a_counterpart_stand_in_no_set_of_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    model(monkeypatch, RATES)
    own = inputs()
    made = own.samples.with_columns(is_flipped=pl.int_range(pl.len()) % 8 < 4)
    found = run(replace(own, samples=made), CONFIG.model_copy(update={"layers": (2,), "shuffles": 9}))
    drawn = found.tables["written"].join(made.filter(~pl.col("is_flipped")), on="sample_id", how="semi")
    for row in found.tables["sets"].iter_rows(named=True):
        of = drawn.filter(language=row["language"], shown=row["pictures"] == "shown")
        assert row["images"] == of.filter(pl.col("own").is_in(["female", "male"])).height < 200


def test_whole_units_are_drawn_and_a_study_without_such_pictures_opens_no_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model(monkeypatch, RATES)
    few = ask_hidden(inputs(), CONFIG.model_copy(update={"images": 7}))
    assert few.asked["image_id"].n_unique() == 7
    own = inputs()
    plain = replace(own, samples=own.samples.drop("visible_gender"), open_model=no_model, truth=None)
    found = run(plain, CONFIG.model_copy(update={"layers": (2,), "written": 0}))
    assert AGREEMENT in found.notes[0] and "add a column visible_gender with the value neutral" in found.notes[1]
    assert not found.estimates and figures(found.tables) == {}


def test_without_groups_intervals_draw_images_and_nothing_is_said_over_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    model(monkeypatch, RATES)
    own = inputs()
    bare = replace(own, truth=None, samples=own.samples.drop("place").with_columns(profession=pl.lit("job 00")))
    found = run(bare, CONFIG.model_copy(update={"layers": (2,), "written": 0}))
    assert found.tables["overall"]["rate_low"].is_not_null().all()
    assert all(found.tables[name].is_empty() for name in ("rates", "over_groups", "readable"))
    assert set(found.shown) <= set(found.tables) and figures(found.tables) == {}
    assert any("no column of groups" in line for line in found.notes)


def test_few_groups_among_the_asked_are_not_drawn_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model(monkeypatch, RATES)
    own = inputs()
    hidden = pl.col("visible_gender") == "neutral"
    few = pl.when(~hidden).then("place").when(pl.col("place") != "sea").then("place")  # four where nothing is shown
    config = CONFIG.model_copy(update={"layers": (2,), "written": 0, "groups": ("place",)})
    found = run(replace(own, truth=None, samples=own.samples.with_columns(place=few)), config)
    assert found.tables["overall"]["column"].to_list() == ["", ""]
    assert "fewer than 5 values of place: the interval draws images alone" in str(found.estimates)
    assert any(line.startswith("Fewer than 5 values of place") for line in found.notes)


def test_a_group_per_image_says_that_nothing_tells_whether_groups_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    own = inputs()
    model(monkeypatch, dict.fromkeys(own.samples["image_id"], 0.5))
    alone = replace(own, truth=None, samples=own.samples.with_columns(profession=pl.col("image_id")))
    found = run(alone, CONFIG.model_copy(update={"layers": (2,), "written": 0, "images": 20}))
    assert not any(one.answers for one in found.estimates)
    assert any(line.startswith("profession: one value, or as many values as units") for line in found.notes)


def test_an_unknown_column_of_groups_is_named_with_those_that_there_are() -> None:
    with pytest.raises(BadInput, match=r"analyses.bias.groups: samples have no column 'jobs' .*profession"):
        run(inputs(), CONFIG.model_copy(update={"groups": ("jobs",)}))
