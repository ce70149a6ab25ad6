"""A planted world of scenes: what a scan puts first follows the flip of its own attribute, and no feature else."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from core.concepts.chosen import Chosen
from core.concepts.families import split_families
from core.concepts.flips import Flip, Preference, preference
from core.concepts.full_sentences import HELD_OUT, Columns, FullSentences
from core.concepts.scores import score_features
from infra.scene_concepts import CONCEPTS, GENDER, PLACE, sentences

FOLLOWS_GENDER, FOLLOWS_PLACE, FOLLOWS_BOTH, FEATURES = 11, 23, 37, 60
FLIPS = (Flip("gender", ("female", "male")), Flip("place", ("beach", "school")))
SAME = ("family", "gender", "words", "place")


@pytest.fixture(scope="module")
def world() -> tuple[pl.DataFrame, np.ndarray]:
    """Captions of 24 scenes, and 60 features: one follows gender, one the place, one both alike, the others neither."""
    table = sentences(CONCEPTS["scene-gender"], 24, seed=0)
    active = np.random.default_rng(0).gamma(2.0, 0.3, (table.height, FEATURES))
    woman, beach = table["gender"] == "female", table["place"] == "beach"
    active[:, FOLLOWS_GENDER] += woman.to_numpy() * 2.0
    active[:, FOLLOWS_PLACE] += beach.to_numpy() * 2.0
    active[:, FOLLOWS_BOTH] += woman.to_numpy() + beach.to_numpy()
    return table, active


def first(world: tuple[pl.DataFrame, np.ndarray], column: str) -> tuple[int, np.ndarray]:
    """The feature that a ranking by the labels of a column puts first on one half of the scenes, and the other half."""
    table, active = world
    labels, families = table[column].to_numpy(), table["family"].to_numpy()
    split = np.array(split_families(families.tolist(), labels.tolist(), 0.5, 0))
    columns = Columns.of(["planted"], np.array([0, FEATURES]))
    whole = FullSentences(sparse.csc_array(active), columns, labels, np.zeros(len(labels)), families, split)
    chosen = Chosen.of(score_features(whole.selection, 5), "spearman", 1)
    return int(chosen.columns[0]), split == HELD_OUT


def preferred(world: tuple[pl.DataFrame, np.ndarray], feature: int, held: np.ndarray, turned: bool) -> Preference:
    table, active = world
    rows = table.filter(pl.Series(held))
    gender, place = (flip.pairs(rows, [name for name in SAME if name != flip.column]) for flip in FLIPS)
    others = [one for one in range(FEATURES) if one not in (FOLLOWS_GENDER, FOLLOWS_PLACE, FOLLOWS_BOTH)]
    flips = (place, gender) if turned else (gender, place)
    return preference(active[held][:, [feature, *others]], rows["family"].to_numpy(), flips, 1000, 0)


@pytest.mark.parametrize(
    ("column", "planted", "turned"), [(GENDER, FOLLOWS_GENDER, False), (PLACE, FOLLOWS_PLACE, True)]
)
def test_the_first_feature_follows_its_own_flip(
    world: tuple[pl.DataFrame, np.ndarray], column: str, planted: int, turned: bool
) -> None:
    feature, held = first(world, column)
    assert feature == planted
    found = preferred(world, feature, held, turned)
    assert found.low > 0 and found.control_high is not None and found.value > found.control_high
    assert found.p is not None and found.p <= 0.05
    assert preferred(world, feature, held, not turned).high < 0


@pytest.mark.parametrize("feature", [FOLLOWS_BOTH, 0])
def test_a_feature_that_follows_both_or_neither_is_not_said_to_prefer_one(
    world: tuple[pl.DataFrame, np.ndarray], feature: int
) -> None:
    _, held = first(world, GENDER)
    found = preferred(world, feature, held, turned=False)
    assert found.p is not None and found.p > 0.05
