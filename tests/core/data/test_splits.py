from collections import Counter

from hypothesis import given, strategies

from core.data.splits import SPLITS, Group, assign_splits, draw, tie
from core.study.data import Splits

SHARES = Splits()
strata = strategies.lists(strategies.sampled_from(["female", "male", "neutral"]), min_size=1, max_size=60)


def singles(names: list[str]) -> list[Group]:
    return [Group((number,), name) for number, name in enumerate(names)]


@given(strata, strategies.integers(0, 5))
def test_shares_hold_overall_and_within_every_stratum(names: list[str], seed: int) -> None:
    split = assign_splits(singles(names), SHARES, seed)
    for stratum in (set(names) | {None}) - {None}:
        counts = Counter(s for s, name in zip(split, names) if name == stratum)
        total = names.count(stratum)
        for name in SPLITS:
            assert abs(counts[name] - getattr(SHARES, name) * total) < 3
    counts = Counter(split)
    for name in SPLITS:
        assert abs(counts[name] - getattr(SHARES, name) * len(names)) <= 1


@given(strata, strategies.integers(0, 5))
def test_the_seed_alone_decides(names: list[str], seed: int) -> None:
    assert assign_splits(singles(names), SHARES, seed) == assign_splits(singles(names), SHARES, seed)


def test_another_seed_splits_differently() -> None:
    groups = singles(["female", "male"] * 30)
    assert assign_splits(groups, SHARES, 0) != assign_splits(groups, SHARES, 1)


def test_large_groups_stay_whole_and_shares_count_images() -> None:
    groups = [Group((0, 1, 2, 3), "a", 4), *(Group((number,), "a") for number in range(4, 12))]
    split = assign_splits(groups, SHARES, 3)
    images = Counter({name: sum(group.units for group, s in zip(groups, split) if s == name) for name in SPLITS})
    assert sum(images.values()) == 12
    assert images["train"] >= images["test"]


@given(strategies.lists(strategies.lists(strategies.integers(0, 15), min_size=1, max_size=3), max_size=25))
def test_rows_that_share_a_key_share_a_group(keys: list[list[int]]) -> None:
    groups = tie(keys)
    of_row = {row: number for number, group in enumerate(groups) for row in group}
    assert sorted(of_row) == list(range(len(keys)))
    for first in range(len(keys)):
        for second in range(first):
            if set(keys[first]) & set(keys[second]):
                assert of_row[first] == of_row[second]
    for number, group in enumerate(groups):  # and nothing else does
        others = {key for other, rows in enumerate(groups) if other != number for row in rows for key in keys[row]}
        assert not others & {key for row in group for key in keys[row]}


@given(strata, strategies.integers(1, 60), strategies.integers(0, 3))
def test_a_draw_is_stratified_and_exact(names: list[str], count: int, seed: int) -> None:
    groups = singles(names)
    drawn = draw(groups, count, seed, lambda group: group.members)
    assert len(drawn) == len(set(drawn)) == min(count, len(names))
    for stratum in set(names):
        share = min(count, len(names)) * names.count(stratum) / len(names)
        assert abs(sum(names[number] == stratum for number in drawn) - share) < 1
    assert drawn == draw(groups, count, seed, lambda group: group.members)


def test_what_is_refused_is_drawn_anew() -> None:
    groups = singles(["female"] * 10 + ["male"] * 10)
    drawn = draw(groups, 8, 0, lambda group: [member for member in group.members if member % 2])
    assert len(drawn) == 8
    assert all(number % 2 for number in drawn)
    assert sum(number < 10 for number in drawn) == 4


def test_pairs_are_drawn_whole() -> None:
    groups = [Group((2 * number, 2 * number + 1), "pair") for number in range(10)]
    drawn = set(draw(groups, 7, 0, lambda group: group.members))
    assert len(drawn) == 6
    assert all((number ^ 1) in drawn for number in drawn)
