"""Interchange: which row stands in for which, what swapped features write, and which languages features go with."""

import math
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
from scipy import stats

from core.causal.interchange import Donated, aligned
from core.causal.interventions import EditSite
from core.causal.pair_positions import Words, position_masks
from core.causal.swaps import SetMeans, SwapSite
from core.data.gender_concept import GENDER
from core.features.associated_languages import associated_languages, members, strength_of
from core.features.ranking import Ranking
from core.lm.patched import CAPTION, IMAGE, LAST_PROMPT, OUTSIDE, PROMPT
from core.sae.architectures import SparseAutoencoder

# Whose row stands in for which


@pytest.mark.parametrize(
    ("own", "donor", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], [0, 1, 2]),
        ([1, 7, 3, 4], [1, 8, 9, 3, 4], [0, 2, 3, 4]),  # the last token of a longer word
        ([1, 8, 9, 3, 4], [1, 7, 3, 4], [0, -1, 1, 2, 3]),  # a shorter word has no like of the first
        ([1, 2], [1, 2, 9], [0, 1]),
        ([1, 2, 9], [1, 2], [0, 1, -1]),
    ],
)
def test_tokens_are_paired_from_the_first_and_behind_a_difference_from_the_end(
    own: list[int], donor: list[int], expected: list[int]
) -> None:
    assert aligned(own, donor) == expected


def test_a_donor_is_put_in_only_where_it_has_a_row_and_is_asked_for() -> None:
    given = Donated(torch.ones(1, 3, 2), torch.tensor([[True, True, False]]))
    found = given.into(torch.zeros(1, 3, 2), torch.tensor([[False, True, True]]))
    assert found[0, :, 0].tolist() == [0, 1, 0]


def batch(segments: list[list[int]], lengths: list[int]) -> Any:
    codes = torch.tensor(segments)
    mask = (torch.arange(codes.shape[1]) < torch.tensor(lengths)[:, None]).long()
    return SimpleNamespace(segments=codes, attention_mask=mask, input_ids=codes, lengths=torch.tensor(lengths))


ROW = [OUTSIDE, IMAGE, IMAGE, PROMPT, LAST_PROMPT, CAPTION, CAPTION, CAPTION, CAPTION, CAPTION]


def test_position_sets_of_the_first_word_share_out_every_token() -> None:
    found = position_masks(batch([ROW], [10]), [Words(7, 7, 7)], GENDER)
    assert list(found) == ["image", "instruction", "control tokens", "last-prompt", "pre-gender", "the word itself"]
    assert (torch.stack(list(found.values())).sum(dim=0) == 1).all()


def test_a_later_word_has_the_picture_the_first_word_and_what_stands_between() -> None:
    found = position_masks(batch([ROW], [10]), [Words(6, 8, 9)], GENDER)
    places = {name: mask[0].nonzero()[:, 0].tolist() for name, mask in found.items()}
    assert places == {"image": [1, 2], "first-gendered": [6, 7], "other": [8], "the word itself": [9]}


def test_padding_is_no_control_token() -> None:
    found = position_masks(batch([ROW, [*ROW[:8], OUTSIDE, OUTSIDE]], [10, 8]), [Words(7, 7, 7)] * 2, GENDER)
    assert found["control tokens"].sum(dim=1).tolist() == [1, 1]


# What features write


def site(sae: SparseAutoencoder, stream: torch.Tensor) -> EditSite:
    reach = torch.ones(stream.shape[:2], dtype=torch.bool)
    rows = stream[reach]
    return EditSite(stream, reach, torch.full((len(rows),), CAPTION), sae.encode(rows), sae.W_dec.detach())


@pytest.fixture(scope="module")
def swapped() -> SwapSite:
    generator = torch.Generator().manual_seed(0)
    sae = SparseAutoencoder(6, 12, 3)
    sae.requires_grad_(False)
    sae.W_dec.copy_(torch.nn.functional.normalize(torch.randn(12, 6, generator=generator), dim=1))
    sae.W_enc.copy_(sae.W_dec.T)
    sae.b_dec.fill_(0.3)
    own, donor = torch.randn(2, 2, 4, 6, generator=generator)
    view: Any = SimpleNamespace(sae=sae, table=SimpleNamespace(norm_limit=math.inf))
    known = torch.tensor([[True] * 4, [True, True, False, True]])
    return SwapSite.of(view, site(sae, own), Donated(donor, known))


def dense(swap: SwapSite, stream: torch.Tensor) -> torch.Tensor:
    """Activations [R, F], the strongest three of a row."""
    sae = swap.view.sae
    before = (stream.reshape(-1, 6) - sae.b_dec) @ sae.W_enc + sae.b_enc
    kept = before.topk(3, dim=1)
    return torch.zeros_like(before).scatter(1, kept.indices, kept.values.relu())


def test_a_swap_is_the_difference_of_activations_times_the_decoder(swapped: SwapSite) -> None:
    difference = dense(swapped, swapped.donor.stream) - dense(swapped, swapped.own.stream)
    expected = difference[:, [2, 5]] @ swapped.view.sae.W_dec[[2, 5]]
    expected[6] = 0  # where the donor has no row
    torch.testing.assert_close(swapped.features([2, 5]), expected)


def test_all_features_are_the_dictionary_and_the_rest_is_error(swapped: SwapSite) -> None:
    torch.testing.assert_close(swapped.features(range(12)), swapped.dictionary(), rtol=1e-4, atol=1e-5)
    moved = swapped.own.added(swapped.whole()).reshape(-1, 6)
    kept = [row for row in range(8) if row != 6]
    torch.testing.assert_close(moved[kept], swapped.donor.stream.reshape(-1, 6)[kept])
    torch.testing.assert_close(moved[6], swapped.own.stream.reshape(-1, 6)[6])


def test_along_a_direction_only_that_part_changes(swapped: SwapSite) -> None:
    unit = torch.nn.functional.normalize(torch.arange(1.0, 7.0), dim=0)
    change = swapped.along(unit)
    torch.testing.assert_close(change @ unit, swapped.whole() @ unit)
    torch.testing.assert_close(change - (change @ unit)[:, None] * unit, torch.zeros_like(change))


def test_sets_of_different_length_meet_by_their_means(swapped: SwapSite) -> None:
    own, donor, features = swapped.own, swapped.donor, [2, 5]
    first = torch.tensor([[True, False, False, False]] * 2)
    others = torch.tensor([[False, True, True, True], [False] * 4])
    means = SetMeans.of(donor, [first, others], features)
    theirs = dense(swapped, donor.stream)[:, features].reshape(2, 4, 2)
    torch.testing.assert_close(means.means[0, 1], theirs[0, 1:].mean(dim=0))
    assert means.known.tolist() == [[True, True], [True, False]]
    moved = means.into(own, [others, first], features).reshape(2, 4, 6)  # the sets trade places
    mine = dense(swapped, own.stream)[:, features].reshape(2, 4, 2)
    torch.testing.assert_close(moved[0, 2], (theirs[0, 0] - mine[0, 2]) @ swapped.view.sae.W_dec[features])
    assert moved[1, 0].abs().sum() == 0  # nothing known of the second row's other set


# Classes


def ranking(tests: dict[tuple[str, str, int], tuple[float, float]]) -> Ranking:
    """p and AUROC by language, position set and feature."""
    keys = list(tests)
    columns = {
        name: [key[number] for key in keys] for number, name in enumerate(("language", "position_set", "feature"))
    }
    values = {"p": [tests[key][0] for key in keys], "auroc": [tests[key][1] for key in keys]}
    return Ranking(GENDER, ("en", "ar"), 20, pl.DataFrame({**columns, **values}).cast({"feature": pl.UInt32}))


def test_features_are_shared_of_one_language_or_unclear() -> None:
    tests = {
        ("en", "pre-gender", 0): (1e-6, 0.9),
        ("ar", "last-prompt", 0): (1e-6, 0.2),
        ("en", "pre-gender", 1): (1e-6, 0.8),
        ("ar", "pre-gender", 1): (0.6, 0.5),
        ("ar", "pre-gender", 2): (1e-6, 0.7),  # not supported in English
        ("en", "pre-gender", 3): (1e-6, 0.8),
        ("ar", "pre-gender", 3): (0.049, 0.6),
        ("shared", "last-prompt", 4): (1e-6, 0.85),  # one row for both languages
        ("en", "pre-gender", 5): (0.7, 0.5),
        ("en", "first-gendered", 6): (1e-9, 1.0),  # reading, no decision
    }
    found = associated_languages({8: ranking(tests)}, ("en", "ar"))
    assert members(found, 8, "shared") == (0, 4)
    assert members(found, 8, "en only") == (1,) and members(found, 8, "ar only") == (2,)
    assert members(found, 8, "unclear") == (3,)
    assert dict(found.select("feature", "strength").iter_rows())[0] == pytest.approx(0.4)
    family = [p for (_, name, _), (p, _) in tests.items() if name != "first-gendered"]
    q = stats.false_discovery_control(family)
    assert found["q"].max() == pytest.approx(max(value for value, p in zip(q, family, strict=True) if p == 1e-6))


def test_classes_are_corrected_over_all_layers() -> None:
    weak = {("en", "pre-gender", 0): (0.01, 0.7), ("ar", "pre-gender", 0): (0.9, 0.5)}
    noise = {("en", "pre-gender", feature): (0.5, 0.5) for feature in range(1, 20)}
    assert members(associated_languages({1: ranking(weak)}, ("en", "ar")), 1, "en only") == (0,)
    assert associated_languages({1: ranking(weak), 2: ranking(noise)}, ("en", "ar")).is_empty()


def test_a_layer_without_a_class_is_weaker() -> None:
    both = {("en", "pre-gender", 0): (1e-6, 0.9), ("ar", "pre-gender", 0): (1e-6, 0.9)}
    alone = both | {("en", "pre-gender", 1): (1e-6, 0.9)}
    found = associated_languages({1: ranking(both), 2: ranking(alone)}, ("en", "ar"))
    strengths = [strength_of(found, layer, ("en", "ar"), 2) for layer in (1, 2, 3)]
    assert strengths == pytest.approx([0.4 / 6, 0.8 / 6, 0])
