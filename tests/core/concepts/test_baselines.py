"""Baselines are fitted on the selection split alone, families kept together, and read what is there to be read."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from core.concepts.baselines import FOLDS, bag_of_words, best_setting, family_folds, length_alone, mean_probes
from core.concepts.full_sentences import SELECTION, FullSentences, side_by_side
from core.concepts.measures import CLEAN, RELATED
from core.concepts.random_dictionary import random_codes
from tests.core.concepts.planted_sentences import WORDS, random_dictionary, scan


def held_out_auroc(sentences: FullSentences, scores: np.ndarray) -> float:
    used = sentences.is_held_out & CLEAN.uses(sentences.labels)
    return float(roc_auc_score(sentences.labels[used] == 3, scores[used]))


def test_a_bag_of_words_reads_a_word_that_names_the_concept() -> None:
    sentences, beside = scan(0)
    telling = [
        f"{text} he lies" if label >= 2 else text for text, label in zip(beside.texts, sentences.labels, strict=True)
    ]
    found = best_setting(bag_of_words(sentences, telling, CLEAN, 0))
    assert found.auroc_selection > 0.95 and held_out_auroc(sentences, found.scores) > 0.95
    blind = best_setting(bag_of_words(sentences, beside.texts, CLEAN, 0))
    assert 0.25 < held_out_auroc(sentences, blind.scores) < 0.75


def test_words_of_other_scripts_and_signs_count() -> None:
    sentences, _ = scan(0)
    texts = ["كذب علي" if label == 3 else "!" for label in sentences.labels]
    found = best_setting(bag_of_words(sentences, texts, CLEAN, 0))
    assert held_out_auroc(sentences, found.scores) == 1


def test_the_probe_s_layer_is_chosen_by_cross_validation_not_by_fit() -> None:
    sentences, beside = scan(0, planted=True)
    wide = np.random.default_rng(0).normal(size=(160, 500))
    wide_first = mean_probes(sentences, {1: wide, 2: beside.streams[2]}, CLEAN, 0)
    used = CLEAN.uses(sentences.labels) & (sentences.split == SELECTION)
    assert roc_auc_score(sentences.labels[used] == 3, wide_first[0].scores[used]) == 1  # more dimensions than sentences
    assert best_setting(wide_first).layer == 2
    assert held_out_auroc(sentences, wide_first[1].scores) > 0.9


def test_held_out_labels_take_no_part_in_a_fit() -> None:
    sentences, beside = scan(0, planted=True)
    turned = np.where(sentences.is_held_out, 3 - sentences.labels, sentences.labels)
    parts = (sentences.log_length, sentences.families, sentences.split)
    other = FullSentences(sentences.active, sentences.columns, turned, *parts)
    for contrast in (CLEAN, RELATED):
        for one, two in zip(
            [*mean_probes(sentences, beside.streams, contrast, 0), length_alone(sentences, contrast)],
            [*mean_probes(other, beside.streams, contrast, 0), length_alone(other, contrast)],
            strict=True,
        ):
            np.testing.assert_array_equal(one.scores, two.scores)
            assert one.auroc_selection == two.auroc_selection


def test_folds_keep_the_copies_of_a_family_together() -> None:
    families = np.repeat(np.arange(20), 3)
    positive = np.repeat(np.arange(20) % 2, 3)
    parts = family_folds(positive, families, 0)
    assert len(parts) == FOLDS
    for inside, outside in parts:
        assert not set(families[inside]) & set(families[outside])
    assert family_folds(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2]), 0) == []


def test_copies_do_not_let_a_bag_of_words_learn_by_heart() -> None:
    sentences, _ = scan(0, size=4, count=320)
    texts = [f"name{family} {WORDS[0]}" for family in sentences.families]
    found = best_setting(bag_of_words(sentences, texts, RELATED, 0))
    assert found.auroc_selection == pytest.approx(0.5, abs=0.1)


def test_length_has_the_direction_of_the_selection_split() -> None:
    sentences, _ = scan(0)
    length = np.where(sentences.is_held_out, 1, -1) * sentences.labels + 0.0
    parts = (sentences.labels, length, sentences.families, sentences.split)
    found = length_alone(FullSentences(sentences.active, sentences.columns, *parts), CLEAN)
    assert found.auroc_selection == 1
    assert held_out_auroc(sentences, found.scores) == 0


def test_random_codes_keep_as_many_as_the_sae_fires_and_are_the_largest() -> None:
    rng = np.random.default_rng(0)
    stream = rng.normal(size=(6, 12)) + 5
    mean = stream.mean(axis=0)
    counts = np.array([0, 1, 3, 30, 5, 200])
    codes = random_codes(stream, mean, 5000, counts, 1)
    assert np.diff(codes.indptr).tolist() == counts.tolist()
    every = random_codes(stream, mean, 5000, np.full(6, 5000), 1).toarray()
    for row, count in enumerate(counts):
        own = codes[[row]].toarray()[0]
        assert (own >= 0).all() and sorted(own[own > 0]) == sorted(np.sort(every[row])[5000 - count :])


@pytest.mark.parametrize("rows, dims", [(5, 40), (60, 12)])
def test_random_codes_are_products_with_unit_directions(rows: int, dims: int) -> None:
    rng = np.random.default_rng(0)
    stream = rng.normal(size=(rows, dims)) * np.arange(1, dims + 1)
    codes = random_codes(stream, np.zeros(dims), 40_000, np.full(rows, 40_000), 1).toarray()
    directions = rng.normal(size=(dims, 40_000))
    drawn = np.maximum(0, stream @ (directions / np.linalg.norm(directions, axis=0)))
    np.testing.assert_allclose((codes**2).mean(axis=1), (drawn**2).mean(axis=1), rtol=0.05)
    np.testing.assert_allclose((codes**4).mean(axis=1), (drawn**4).mean(axis=1), rtol=0.12)
    np.testing.assert_allclose((codes @ codes.T)[0] / 40_000, (drawn @ drawn.T)[0] / 40_000, rtol=0.1)


def test_a_random_dictionary_is_as_large_and_as_sparse_as_each_sae() -> None:
    sentences, beside = scan(0)
    sizes = {"first": 40, "second": 70}
    parts = ((key, sentences.active[:, :size]) for key, size in sizes.items())
    own = sentences.with_features(*side_by_side(parts))
    random = random_dictionary(own, dict.fromkeys(sizes, beside.streams[5]), 0)
    assert random.columns.keys == own.columns.keys and random.active.shape == own.active.shape
    for number in range(2):
        theirs, ours = (part.active[:, np.flatnonzero(part.columns.owner == number)] for part in (own, random))
        np.testing.assert_array_equal((theirs != 0).sum(axis=1), (ours != 0).sum(axis=1))
