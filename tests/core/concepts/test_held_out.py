"""Held-out tests are calibrated, and pairs of like length cannot be told apart by length."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from core.concepts.held_out import compare, exchange_p
from core.concepts.matched_lengths import LENGTH_RATIO, matched_auroc
from core.stats.intervals import bootstrap_auroc


def noise(seed: int, count: int = 40) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    return np.random.default_rng(seed), np.arange(count) % 2, np.arange(count)


def test_p_against_exchanged_labels_is_calibrated_and_one_sided() -> None:
    p = []
    for seed in range(200):
        rng, positive, families = noise(seed)
        p.append(exchange_p(rng.normal(size=40), positive, families, 199, seed))
    assert 0.01 < np.mean(np.array(p) <= 0.05) < 0.09
    _, positive, families = noise(0)
    assert exchange_p(positive.astype(float), positive, families, 199, 0) == pytest.approx(1 / 200)
    assert exchange_p(-positive.astype(float), positive, families, 199, 0) == 1


def test_copies_of_a_family_are_no_more_evidence() -> None:
    rng, positive, families = noise(3, 12)
    scores = rng.normal(size=12) + positive
    once = exchange_p(scores, positive, families, 2000, 0)
    copied = exchange_p(np.repeat(scores, 5), np.repeat(positive, 5), np.repeat(families, 5), 2000, 0)
    assert copied == pytest.approx(once, abs=0.02)


def test_a_difference_is_that_of_the_two_aurocs() -> None:
    rng, positive, families = noise(0)
    first, second = rng.normal(size=40) + 2 * positive, rng.normal(size=40)
    found = compare(first, second, positive, families, (500, 500, 0))
    assert found.difference.mean == pytest.approx(roc_auc_score(positive, first) - roc_auc_score(positive, second))
    assert found.difference.low > 0 and found.p < 0.01
    assert found.null_low < 0 < found.null_high
    mirrored = compare(second, first, positive, families, (500, 500, 0))
    assert mirrored.difference.mean == pytest.approx(-found.difference.mean)


def test_a_score_does_not_differ_from_itself() -> None:
    rng, positive, families = noise(0)
    scores = rng.normal(size=40)
    same = compare(scores, 3 * scores + 1, positive, families, (100, 100, 0))
    assert same.difference == (0, 0, 0) and same.p == 1


def test_differences_of_two_noises_are_significant_in_one_case_of_twenty() -> None:
    p = []
    for seed in range(200):
        rng, positive, families = noise(seed)
        p.append(compare(rng.normal(size=40), rng.normal(size=40), positive, families, (2, 199, seed)).p)
    assert np.mean(np.array(p) <= 0.05) < 0.09


def lengths(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    positive = np.arange(count) % 2
    return np.round(np.exp(rng.normal(2.7, 0.4, count) + 0.5 * positive)).astype(int), positive, rng


def test_a_maximum_that_grows_with_length_alone_says_nothing_among_sentences_of_like_length() -> None:
    plain, areas = [], []
    for seed in range(20):
        tokens, positive, rng = lengths(seed)
        maxima = np.array([rng.normal(size=count).max() for count in tokens])
        plain.append(roc_auc_score(positive, maxima))
        areas.append(matched_auroc(maxima, tokens, positive, np.arange(400), (50, 0)).area.mean)
    assert min(plain) > 0.55
    assert np.mean(areas) == pytest.approx(0.5, abs=0.015)


def test_length_itself_is_cancelled() -> None:
    tokens, positive, _ = lengths(0)
    found = matched_auroc(np.log(tokens), tokens, positive, np.arange(400), (50, 0))
    assert roc_auc_score(positive, tokens) > 0.75
    assert found.area.mean == pytest.approx(0.5, abs=0.03)


def test_a_concept_is_seen_among_sentences_of_like_length() -> None:
    tokens, positive, rng = lengths(1)
    found = matched_auroc(rng.normal(size=400) + 2 * positive, tokens, positive, np.arange(400), (200, 0))
    assert found.area.low > 0.8
    assert 0 < found.pairs < 200 * 200
    assert found.positives <= 200 and found.negatives <= 200


def test_only_pairs_of_like_length_count() -> None:
    tokens, positive = np.array([10, 10, 10, 12, 50]), np.array([1, 0, 0, 1, 0])
    maxima = np.array([1.0, 0, 2, 9, 9])
    found = matched_auroc(maxima, tokens, positive, np.arange(5), (10, 0))
    assert (found.pairs, found.positives, found.negatives) == (2, 1, 2)
    assert found.area.mean == 0.5
    assert LENGTH_RATIO < 12 / 10
    none = matched_auroc(maxima, np.array([1, 5, 5, 1, 5]), positive, np.arange(5), (10, 0))
    assert none.pairs == 0 and np.isnan(none.area.mean)


def test_equal_lengths_give_the_plain_auroc_with_its_interval() -> None:
    rng, positive, families = noise(0)
    scores = rng.normal(size=40) + positive
    found = matched_auroc(scores, np.full(40, 9), positive, families, (300, 0)).area
    assert found == pytest.approx(bootstrap_auroc(scores, positive, 300, 0))
