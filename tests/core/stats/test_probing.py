"""Probes on any column: planted labels are read, others are not, and nothing of an image is on both sides."""

import math
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from core.errors import BadInput
from core.stats import probing
from core.stats.probe_task import ProbeTask, split_task
from core.stats.probes import Labelled, choose_strength, control_accuracy, logistic_at, sparse_probe
from core.stats.probing import linear_probe, sparse_probes

COLOURS = np.array(["red", "green", "blue"])


def planted(images: int = 120, rows: int = 2, dims: int = 20, classes: int = 2, strength: float = 1.5) -> ProbeTask:
    """Images of some rows each, all of one colour, which shifts one dimension per colour; words go with nothing."""
    rng = np.random.default_rng(0)
    of_image = np.arange(images) % classes
    image = np.repeat(np.arange(images), rows)
    x = rng.normal(size=(images * rows, dims)) + np.repeat(rng.normal(size=(images, dims)), rows, axis=0)
    x[np.arange(len(x)), 3 + of_image[image]] += 3 * strength
    return ProbeTask(x, list(COLOURS[of_image[image]]), list(image), list(rng.integers(0, 60, len(x))))


@pytest.mark.parametrize("classes", [2, 3])
def test_a_planted_column_is_read_and_its_features_are_chosen_first(classes: int) -> None:
    task = planted(classes=classes)
    found = linear_probe(task, draws=200)
    assert found.auroc.low > 0.75 and found.p == pytest.approx(1 / 201)
    assert found.accuracy.low > found.majority + 0.15 and found.classes == tuple(sorted(COLOURS[:classes]))
    assert found.shuffled.low < 0.5 < found.shuffled.high and abs(found.shuffled.mean - 0.5) < 0.03
    assert abs(found.control - 1 / classes) < 0.12 and found.selectivity > 0.15
    sparse = sparse_probes(task, (1, 2, 5), draws=50)
    assert [len(one.probes[0].features or ()) for one in sparse.values()] == [1, 2, 5]
    for number, probe in enumerate(sparse[2].probes):
        colour = found.classes[number if classes > 2 else 1]
        own = 3 + list(COLOURS).index(colour)
        assert own in (probe.features or ())


def test_two_classes_are_scored_as_the_parts_that_it_is_made_of_say() -> None:
    task = planted(rows=1)
    found = linear_probe(task, draws=100)
    x, y, image = np.asarray(task.x), np.array(task.labels) == "red", np.array(task.images)
    train, test = next(iter(StratifiedGroupKFold(3, shuffle=True, random_state=0).split(x, y, image)))
    inside = Labelled(x[train], y[train])
    probe = logistic_at(inside, choose_strength(inside, 0))
    assert found.auroc.mean == pytest.approx(roc_auc_score(y[test], probe.score(x[test])))
    assert found.accuracy.mean == pytest.approx(probe.accuracy(Labelled(x[test], y[test])))
    assert found.majority == pytest.approx(max(y[test].mean(), 1 - y[test].mean()))
    words = np.array(task.words)
    sides = [Labelled(x[part], y[part], words=words[part]) for part in (train, test)]
    draws = [control_accuracy(*sides, choose_strength(inside, 0), seed) for seed in range(5)]
    assert found.control == pytest.approx(np.mean(draws))
    chosen, few = sparse_probe(inside, 5)
    one = sparse_probes(task, (5,), draws=10)[5]
    assert one.probes[0].features == tuple(chosen)
    assert one.auroc.mean == pytest.approx(roc_auc_score(y[test], few.score(x[test][:, chosen])))


def test_features_are_put_in_order_once_for_every_number_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    task, ordered = planted(rows=1), []
    order = probing.strongest_first
    monkeypatch.setattr(probing, "strongest_first", lambda train: ordered.append(train.y) or order(train))
    several = sparse_probes(task, (1, 2, 5), draws=10, controls=2)
    classes = len(several[1].classes)
    assert classes <= len(ordered) <= 3 * classes and len({one.tobytes() for one in ordered}) == len(ordered)
    for k, own in several.items():
        alone = sparse_probes(task, (k,), draws=10, controls=2)[k]
        assert (alone.probes[0].features, alone.auroc, alone.control) == (
            own.probes[0].features,
            own.auroc,
            own.control,
        )


def test_nothing_is_read_where_nothing_is() -> None:
    found = linear_probe(planted(strength=0), draws=200)
    assert found.p > 0.05 and found.auroc.low < 0.5 < found.auroc.high
    best = sparse_probes(planted(strength=0, dims=200), (10,), draws=200)[10]
    assert best.p > 0.05, "features chosen on all rows would seem to tell"


def test_features_are_chosen_on_the_training_side_alone() -> None:
    task = planted(strength=0, dims=400)
    sides = split_task(task, 0)
    again = sides.test.x.copy()
    sides.test.x[:, 7] += 100 * sides.test.codes  # would be chosen first if the test side were looked at
    assert not np.array_equal(again, sides.test.x)
    changed = np.asarray(task.x).copy()
    tested = np.isin(np.arange(len(changed)), [row for row, x in enumerate(changed) if (again == x).all(axis=1).any()])
    changed[tested, 7] += 100 * (np.array(task.labels)[tested] == "red")
    found = sparse_probes(ProbeTask(changed, task.labels, task.images), (5,), draws=10)[5]
    assert 7 not in (found.probes[0].features or ())


def test_an_image_s_rows_stay_together() -> None:
    """An image's own signature tells its class where its rows stand on both sides, and nothing where they do not."""
    rng = np.random.default_rng(1)
    image = np.repeat(np.arange(100), 6)
    x = np.repeat(rng.normal(size=(100, 60)), 6, axis=0) + 0.1 * rng.normal(size=(600, 60))
    labels = np.array(["a", "b"])[rng.permutation(np.arange(100) % 2)[image]]
    apart = linear_probe(ProbeTask(x, labels), draws=50)
    together = linear_probe(ProbeTask(x, labels, image), draws=50)
    assert apart.auroc.mean > 0.9 and together.auroc.mean < 0.7
    assert together.test_images in range(30, 37) and apart.test_images == 200
    sides = split_task(ProbeTask(np.arange(600.0)[:, None], labels, image), 0)
    assert not set(image[sides.train.x[:, 0].astype(int)]) & set(image[sides.test.x[:, 0].astype(int)])


def test_classes_within_an_image_are_shuffled_within_it() -> None:
    """Classes that differ within each image: half its rows each, so a shuffle between images would change nothing."""
    rng = np.random.default_rng(2)
    image, labels = np.repeat(np.arange(60), 4), np.tile(["a", "a", "b", "b"], 60)
    x = rng.normal(size=(240, 8))
    x[:, 2] += 2 * (labels == "b")
    found = linear_probe(ProbeTask(x, labels, image), draws=200)
    assert found.p == pytest.approx(1 / 201) and abs(found.shuffled.mean - 0.5) < 0.03


def test_columns_of_other_kinds_are_taken() -> None:
    task = planted()
    expected = linear_probe(task, draws=20)
    series = pl.Series(task.labels)
    for x, labels in (
        (torch.from_numpy(task.x), series),
        (task.x, [label == "red" for label in task.labels]),
        (task.x, [int(label == "red") for label in task.labels]),
    ):
        found = linear_probe(ProbeTask(x, labels, task.images, task.words), draws=20)
        assert found.auroc.mean == pytest.approx(expected.auroc.mean, abs=1e-6)
    assert list(expected.row())[:5] == ["method", "auroc", "low", "high", "p"]
    assert "logistic: AUROC 0." in repr(expected)


def test_rows_without_a_label_and_rare_classes_are_left_out() -> None:
    task = planted(images=120)
    labels = [None if row < 40 else "rare" if row < 46 else label for row, label in enumerate(task.labels)]
    found = linear_probe(ProbeTask(task.x, labels, task.images), draws=20)
    assert found.left_out == ("rare",) and found.classes == ("green", "red")
    assert found.train_images + found.test_images == 120 - 20 - 3 and math.isnan(found.control)


def test_a_split_of_one_s_own_is_kept() -> None:
    task = planted(rows=1)
    split = ["test" if row % 3 == 0 else "train" for row in range(120)]
    sides = split_task(ProbeTask(task.x, task.labels, task.images, split=split), 5)
    np.testing.assert_array_equal(sides.test.x, np.asarray(task.x)[::3])


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda x, y: linear_probe(ProbeTask(x, y[:-1])), "labels has 99 entries for 100 rows"),
        (lambda x, y: linear_probe(ProbeTask(x[:, 0], y)), r"x is \[100\]"),
        (lambda x, y: linear_probe(ProbeTask(x * np.nan, y)), "give finite rows"),
        (lambda x, y: linear_probe(ProbeTask(x, [0.5] * 100)), "are measures, not classes"),
        (lambda x, y: linear_probe(ProbeTask(x, ["a"] * 100)), "1 classes, 1 of them"),
        (lambda x, y: linear_probe(ProbeTask(x, [None] * 100)), "too small to split"),
        (lambda x, y: linear_probe(ProbeTask(x, y, [0] * 100)), "1 images of classes too small"),
        (lambda x, y: linear_probe(ProbeTask(x, y, split=["dev"] * 100)), "split holds 'dev'"),
        (
            lambda x, y: linear_probe(ProbeTask(x, y, [0] * 100, split=["test", "train"] * 50)),
            "1 images have rows on both",
        ),
        (lambda x, y: linear_probe(ProbeTask(x, y, [None] * 100)), "images has rows without a value"),
        (lambda x, y: sparse_probes(ProbeTask(x, y), (7,)), "k 7; there are 4 features"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(ask: Callable[..., object], told: str) -> None:
    x, y = np.random.default_rng(0).normal(size=(100, 4)), ["a", "b"] * 50
    with pytest.raises(BadInput, match=told) as raised:
        ask(x, y)
    assert "\n" not in str(raised.value)
