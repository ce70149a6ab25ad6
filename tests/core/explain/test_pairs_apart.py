from pathlib import Path

import polars as pl
import pytest

from core.data.gender_concept import GENDER
from core.data.scenes import generate_scenes
from core.explain.tables import ACTIVATION_EXAMPLES, WINDOWS
from core.explain.twins import PER_ATTRIBUTE, TWINS, UNEQUAL, one_apart, pairs_by_feature, twins
from tests.core.explain.planted_catalogue import CHANGED, Planted


@pytest.fixture(scope="module")
def world() -> Planted:
    return Planted(scenes=30)


def test_pairs_differ_in_one_attribute_and_those_of_two_alone_are_there(world: Planted) -> None:
    apart = one_apart(world.samples, None)
    rows = {row["sample_id"]: row for row in world.samples.iter_rows(named=True)}
    names = ("profession", "gender", "mood", "skin_tone", *CHANGED)
    for attribute, one, other in apart.iter_rows():
        assert one < other
        assert [name for name in names if rows[one][name] != rows[other][name]] == [attribute]
    found = {(one, other) for _, one, other in apart.iter_rows()}
    assert {(sample.split("-")[0], sample) for sample in rows if "-" in sample} <= found


def test_declared_twins_differ_in_the_concept_though_a_column_says_which_is_which(tmp_path: Path) -> None:
    samples = generate_scenes(tmp_path, num_samples=40, seed=0)
    apart = one_apart(samples, GENDER)
    found = {frozenset(pair) for _, *pair in apart.filter(pl.col("attribute") == GENDER.name).iter_rows()}
    declared = samples.drop_nulls("twin_id").select("sample_id", "twin_id").iter_rows()
    assert {frozenset(pair) for pair in declared} <= found and found
    assert "is_flipped" not in apart["attribute"].to_list()


def test_where_many_samples_agree_pairs_stay_few_and_declared_twins_are_there() -> None:
    count = 500
    samples = pl.DataFrame(
        {
            "sample_id": [f"{number:03d}" for number in range(count)],
            "image_id": [f"{number:03d}" for number in range(count)],
            "twin_id": [f"{count - 1 - number:03d}" for number in range(count)],
            "caption_en": ["x"] * count,
            "colour": ["red" if number < count // 2 or number == count - 1 else "blue" for number in range(count)],
            "place": ["beach"] * (count - 1) + ["city"],
        }
    )
    apart = one_apart(samples, None)
    pairs = {(one, other) for _, one, other in apart.filter(pl.col("attribute") == "colour").iter_rows()}
    assert {(f"{number:03d}", f"{count - 1 - number:03d}") for number in range(1, count // 2)} <= pairs
    assert len(pairs) < 5 * count
    assert one_apart(samples.drop("place"), None).is_empty()  # nothing else is known to agree


def test_the_stronger_sample_is_told_by_activation_and_near_ties_are_left_out(world: Planted) -> None:
    strength = {
        (row["feature_id"], row["sample_id"], row["language"]): row["max_activation"]
        for row in world.examples.with_columns(pl.col("language").cast(pl.String)).iter_rows(named=True)
    }
    table = world.about.pairs
    assert table is not None and table.schema == TWINS and table.height
    for row in table.iter_rows(named=True):
        own = [
            strength.get((row["feature_id"], row[f"sample_{side}"], row["language"]), 0)
            for side in ("stronger", "weaker")
        ]
        assert own == [pytest.approx(row["strength_stronger"]), pytest.approx(row["strength_weaker"])]
        assert own[0] > 0 and own[1] <= UNEQUAL * own[0]
    counts = table.group_by("feature_id", "attribute", "language").len()["len"]
    assert counts.max() <= PER_ATTRIBUTE


def test_no_pair_holds_a_sample_that_the_explainer_saw(world: Planted) -> None:
    table = world.about.pairs
    assert table is not None
    seen = set(world.windows.filter(pl.col("use") == "explain").select("feature_id", "sample_id").iter_rows())
    shown = {
        (row["feature_id"], row[f"sample_{side}"])
        for row in table.iter_rows(named=True)
        for side in ("stronger", "weaker")
    }
    assert not seen & shown


def test_pairs_of_one_scene_are_one_unit(world: Planted) -> None:
    pairs = pairs_by_feature(world.about.pairs if world.about.pairs is not None else TWINS.to_frame())
    units: dict[str, set[int]] = {}
    for own in pairs.values():
        for pair in own:
            units.setdefault(str(pair.stronger.sample_id).split("-")[0], set()).add(pair.unit)
    assert max(len(found) for found in units.values()) == 1


def test_without_pairs_or_examples_the_table_is_empty() -> None:
    samples = pl.DataFrame({"sample_id": ["a", "b"], "image_id": ["a", "b"], "caption_en": ["x", "y"]})
    apart = one_apart(samples, None)
    assert apart.is_empty()
    assert twins(apart, ACTIVATION_EXAMPLES.to_frame(), WINDOWS.to_frame(), samples, 0).is_empty()
