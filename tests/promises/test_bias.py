"""The bias: of images that do not show the gender, of their own language and unit, beside what chance would give."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import false_discovery_control

from core.analysis.bias import Config
from core.analysis.bias.hidden import Hidden, ask_hidden, drawn
from core.analysis.bias.rates import RATES, SPREAD, amplification, cells_of, over_groups, rate_table
from core.analysis.bias.side_by_side import by_group
from core.analysis.bias.written import WRITTEN, share_table
from core.causal.asked_words import ASKED, NEUTRAL, AskedWords, ask
from core.data.gender_concept import GENDER
from core.data.visible import visible_images
from core.stats.group_means import GroupMeans, agreement, explained, mean_error, mean_over_groups
from tests.promises.bias_world import JOBS, asked, labelled, planted

CONFIG = Config(bootstrap=100, permutations=99)


def test_a_rate_is_of_its_language_and_twins_are_one_unit() -> None:
    """Two pictures of a nurse are twins, and a third is not: (0.3 + 0.9) / 2 and not the mean of three."""
    units = [("a", 0, "nurse"), ("b", 0, "nurse"), ("c", 1, "nurse")]
    rates = asked("en", a=0.2, b=0.4, c=0.9).extend(asked("ar", a=0.5, b=0.5, c=0.5))
    labels = labelled("en", a=1.0, b=1.0, c=0.0).extend(labelled("ar", a=0.0, b=0.0, c=0.0))
    hidden = planted(units, rates, labels)
    cells = cells_of(hidden, "profession", "en")
    assert cells["rate"].to_list() == pytest.approx([0.3, 0.9]) and cells["label"].to_list() == [1.0, 0.0]
    table = rate_table(hidden, CONFIG).filter(column="profession")
    assert table.select("language", "images", "units", "rate", "labelled", "label_rate").rows() == [
        ("en", 3, 2, pytest.approx(0.6), 2, 0.5),
        ("ar", 3, 2, 0.5, 2, 0.0),
    ]


def test_the_planted_rate_stands_beside_its_own_column_alone() -> None:
    """A place may be called as a profession is."""
    hidden = planted([("a", 0, "nurse"), ("b", 1, "pilot")], asked("en", a=0.2, b=0.4), truth={"nurse": 0.9})
    table = rate_table(hidden, CONFIG).filter(language="en", group="nurse")
    assert dict(table.select("column", "planted").iter_rows()) == {"profession": 0.9, "place": None}
    assert table.schema == RATES


def test_groups_stand_in_the_order_of_what_was_planted_or_else_of_the_first_languages_rate() -> None:
    units = [("a", 1, "baker"), ("b", 3, "nurse"), ("c", 5, "pilot")]
    rates = asked("en", a=0.9, b=0.2, c=0.4).extend(asked("ar", a=0.1, b=0.2, c=0.3))
    for truth, order in (
        (None, ["nurse", "pilot", "baker"]),
        (dict.fromkeys(("pilot", "nurse", "baker"), 0.5) | {"pilot": 0.1}, ["pilot", "baker", "nurse"]),
    ):
        hidden = planted(units, rates, truth=truth)
        none = share_table(hidden, pl.DataFrame(schema=WRITTEN))
        table = by_group(rate_table(hidden, CONFIG), none, ("en", "ar"))
        assert table.filter(column="profession")["group"].to_list() == order


def means(rate: Sequence[float], labels: Sequence[Sequence[int]]) -> GroupMeans:
    """Groups of one rate each, and their labels."""
    codes = np.repeat(np.arange(len(rate)), [len(own) for own in labels])
    values = np.stack([np.array(rate)[codes], np.concatenate(labels).astype(float)], axis=1)
    return GroupMeans(values, codes, np.arange(len(codes)))


def test_a_model_at_the_true_rates_amplifies_nothing_though_labels_are_few() -> None:
    """One label each at rates of 0.7 and 0.3: by itself the mean is −0.42."""
    labels = [[int(number % 10 < 7)] for number in range(20)] + [[int(number % 10 < 3)] for number in range(20)]
    found = amplification(means([0.7] * 20 + [0.3] * 20, labels), (50, 2000), 0)
    assert found is not None and abs(found.value) < 0.03 and abs(found.null.mean()) < 1e-9


def test_amplification_is_beyond_labels_drawn_at_the_models_own_rates() -> None:
    """Ten labels per group, six of them female: a model at 0.9 is 0.3 beyond, one at 0.4 falls behind."""
    six = [[1] * 6 + [0] * 4] * 10
    beyond, behind = (amplification(means([rate] * 10, six), (50, 2000), 0) for rate in (0.9, 0.4))
    assert beyond is not None and beyond.value == pytest.approx(0.3, abs=0.02)
    assert behind is not None and behind.value < -0.05


def spread_of(values: Mapping[str, Sequence[float]]) -> Hidden:
    """Images of professions with these rates, each of a unit of its own; the places are the units' parity."""
    units, rates = [], {}
    for job, own in values.items():
        for rate in own:
            units.append((f"i{len(units):03d}", len(units), job))
            rates[units[-1][0]] = rate
    return planted(units, asked("en", **rates).extend(asked("ar", **rates)))


def test_spread_counts_above_alone_and_q_is_over_the_rows_of_its_measure() -> None:
    """Groups that are more alike than by chance do not differ."""
    alike = over_groups(spread_of(dict.fromkeys(JOBS, (0.1, 0.9, 0.1, 0.9))), CONFIG)
    assert alike.filter(measure=SPREAD, column="profession")["p"].min() > 0.5
    rng = np.random.default_rng(0)
    hidden = spread_of({job: rng.uniform(0.1, 0.9, 4) for job in JOBS})
    table = over_groups(replace(hidden, inputs=with_truth(hidden)), CONFIG)
    for _, rows in table.group_by("measure"):
        assert rows["q"].to_list() == pytest.approx(false_discovery_control(rows["p"]).tolist())
    assert table["measure"].n_unique() == 3


def with_truth(hidden: Hidden) -> Any:
    rates = dict(zip(JOBS, np.linspace(0.1, 0.9, len(JOBS)).tolist(), strict=True))
    return SimpleNamespace(**{**vars(hidden.inputs), "truth": {"female_rate_of_neutral": rates}})


def test_intervals_resample_groups() -> None:
    """Six groups without any difference within: units alone would give an interval of 0.4."""
    codes = np.repeat(np.arange(6), 50)
    groups = GroupMeans(codes[:, None].astype(float), codes, np.arange(300))
    found = mean_over_groups(groups, 0, 500, 0)
    assert found.high - found.low > 1.5
    mixed = GroupMeans(groups.values + np.random.default_rng(0).standard_normal((300, 1)), codes, groups.units)
    spread = explained(mixed, 0, 19, 0)
    assert spread is not None and spread.high - spread.low > 0.05


def test_the_order_of_four_groups_is_compared_with_nothing() -> None:
    values = np.stack([np.arange(4.0), np.arange(4.0)], axis=1)
    four = GroupMeans(values, np.arange(4), np.arange(4))
    assert agreement(four, (0, 1), mean_error, (20, 19), 0) is None


def written(*captions: tuple[str, str, bool]) -> pl.DataFrame:
    rows = [(image, image, "en", shown, "", told, "female") for image, told, shown in captions]
    return pl.DataFrame(rows, schema=WRITTEN, orient="row")


def test_shares_are_of_units_whose_captions_tell_one_side_of_images_that_do_not_show_it() -> None:
    units = [(name, number, "nurse") for number, name in enumerate("abcd")] + [("e", 0, "nurse")]
    captions = (("a", "female", False), ("e", "female", False), ("b", "male", False), ("c", "both", False))
    row = share_table(planted(units, asked("en", a=0.5)), written(*captions, ("d", "male", True))).row(0, named=True)
    assert {name: row[name] for name in ("captions", "first", "other", "both", "units", "share")} == {
        "captions": 4,
        "first": 2,
        "other": 1,
        "both": 1,
        "units": 2,
        "share": 0.5,
    }


def test_whole_units_are_drawn_by_the_seed() -> None:
    images = [f"i{number:02d}" for number in range(20)]

    def draw(seed: int) -> list[str]:
        inputs: Any = SimpleNamespace(units=lambda own: np.array([int(one[1:]) // 2 for one in own]), seed=seed)
        return drawn(inputs, images, 7)

    found = [draw(seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert set(Counter(int(one[1:]) // 2 for one in found[0]).values()) == {2}


def samples(**columns: Sequence[Any]) -> pl.DataFrame:
    size = len(next(iter(columns.values())))
    names = [f"i{number}" for number in range(size)]
    return pl.DataFrame({"sample_id": names, "image_id": names, "split": ["test"] * size, **columns})


def test_label_rates_are_of_the_images_that_are_asked_and_of_none_that_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.analysis.bias.hidden.ask", lambda *_: (pl.DataFrame(schema=ASKED), Counter()))
    table = samples(
        gender_en=["female", "male", "female", "female"],
        visible_gender=["neutral", "neutral", "neutral", "woman"],
        profession=["nurse", "pilot", "nurse", "pilot"],
        is_flipped=[False, False, True, None],
    )
    inputs: Any = SimpleNamespace(
        samples=table,
        languages=("en",),
        concept=GENDER,
        seed=0,
        units=lambda own: np.arange(len(own)),
        open_model=lambda: None,
    )
    labels = ask_hidden(inputs, CONFIG).labels
    assert dict(labels.select("image_id", "label").iter_rows()) == {"i0": 1.0, "i1": 0.0}


def test_a_word_that_tells_a_side_is_not_neutral() -> None:
    concept = replace(GENDER, pairs=lambda _: (("lady", "guy"),), neutral=lambda _: ("guy", "person"))
    table = samples(caption_en=["A room."], gender_en=["none"])
    inputs: Any = SimpleNamespace(concept=concept, samples=table, truth=None)
    words = AskedWords.of(inputs, "en")
    told = dict(zip(words.words, words.tells.tolist(), strict=True))
    assert (told["lady"], told["guy"], told["person"]) == (0, 1, NEUTRAL)


def test_neutral_words_share_what_is_left_and_nothing_is_said_where_no_side_has_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """p 0.2 female, 0.1 male, 0.3 neutral; and a place where neither side has any."""
    table = samples(caption_en=["A room.", "A room."], gender_en=["none", "none"])
    inputs: Any = SimpleNamespace(concept=GENDER, samples=table, truth=None)
    place = SimpleNamespace(row=SimpleNamespace(sample_id="i0", image_id="i0"), at="here")
    logs = np.array([[np.log(0.2), np.log(0.1), np.log(0.3)], [-np.inf, -np.inf, np.log(0.3)]])
    monkeypatch.setattr("core.causal.asked_words._place", lambda *_: place)
    monkeypatch.setattr("core.causal.asked_words._log_probs", lambda *_: logs)
    found, reasons = ask(inputs, SimpleNamespace(), table, "en")  # type: ignore[arg-type]
    assert found.select("rate", "neutral").rows() == [(pytest.approx(2 / 3), pytest.approx(0.5))]
    assert reasons == {"neither side has a word there": 1}


def test_what_a_picture_shows_is_said_by_all_of_its_captions() -> None:
    labels = ["female", "neutral", "female", "both", "female", "male"]
    table = samples(gender_en=labels).with_columns(image_id=pl.Series(["a", "a", "b", "b", "c", "c"]))
    found = visible_images(GENDER, table, ("en",))
    assert (found.hidden, found.shown) == (["a", "c"], [])
    assert found.unclear == {"captions name both genders": 1}
    twice = table.with_columns(visible_gender=pl.Series(["man", "neutral", "man", "man", "neutral", "neutral"]))
    told = visible_images(GENDER, twice, ("en",))
    assert (told.hidden, told.shown) == (["c"], ["b"])
