"""Steering vectors and ablations: of the features' length, from the selection split, of the segment and language."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from core.causal.controls import RandomSets
from core.causal.interventions import Ablation, EditSite, Steering
from core.causal.steering import DIFFERENCE, FEATURES, difference_of_means, directions
from core.data.gender_concept import GENDER
from core.features.profile import SEGMENTS, Profile
from core.lm.patched import CAPTION, IMAGE
from core.sae.architectures import SparseCode


class Index:
    """Feature f has ten active rows, one of them special and far stronger; value 1 + f."""

    def csc(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(10), np.array([*[1.0 + feature] * 9, 1000.0])


def steered(features: int = 8) -> Any:
    decoder = torch.nn.functional.normalize(torch.randn(features, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    special = pl.DataFrame({"special": [False] * 9 + [True]})
    sums = np.zeros((2, 6))
    return SimpleNamespace(
        index=Index(),
        table=SimpleNamespace(tokens=special),
        sae=SimpleNamespace(W_dec=decoder),
        ranking=SimpleNamespace(signs=lambda chosen: [1 if feature % 2 == 0 else -1 for feature in chosen]),
        concept=GENDER,
        languages=("en",),
        samples=pl.DataFrame(),
        stream_sums=sums,
        groups=None,
    )


def test_every_comparator_is_as_long_as_the_features_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    difference = torch.tensor([0.0, 3.0, 4.0, 0, 0, 0])
    monkeypatch.setattr("core.causal.steering.difference_of_means", lambda _: difference)
    opened = steered()
    found = directions(opened, [2, 3], RandomSets(((4, 5), (6, 7)), 9), seed=0)
    own = found.vectors[FEATURES]
    torch.testing.assert_close(own, 3 * opened.sae.W_dec[2] - 4 * opened.sae.W_dec[3])
    assert found.quantiles == (3.0, 4.0)
    torch.testing.assert_close(found.vectors[DIFFERENCE], difference / 5 * own.norm())
    assert len(found.random) == 2
    for vector in found.random:
        torch.testing.assert_close(vector.norm(), own.norm())


def test_random_vectors_are_the_drawn_features_with_random_signs() -> None:
    opened = steered()
    opened.stream_sums = None
    control = RandomSets(tuple((4, 5) for _ in range(40)), 9)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("core.causal.steering.difference_of_means", lambda _: None)
        vectors = directions(opened, [2], control, seed=0).random
    same = 5 * opened.sae.W_dec[4] + 6 * opened.sae.W_dec[5]
    cosines = torch.stack([vector @ same / (vector.norm() * same.norm()) for vector in vectors])
    assert (cosines > 0.99).any() and (cosines < -0.99).any() and (cosines.abs() < 0.99).any()


def test_the_difference_of_means_is_taken_on_the_selection_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """In training images the sides differ along axis 0, in test images along 1, in selection images along 2."""
    splits = {"train": 0, "test": 1, "select": 2}
    rows, means = [], []
    for split, axis in splits.items():
        for number in range(12):
            female = number % 2 == 0
            rows.append({"image_id": f"{split}{number}", "split": split, "gender_en": "female" if female else "male"})
            means.append(np.eye(3)[axis] * (1.0 if female else -1.0))
    names = [row["image_id"] for row in rows]
    monkeypatch.setattr("core.causal.steering.stream_means", lambda *_: (names, np.array(means)))
    opened = SimpleNamespace(
        concept=GENDER, languages=("en",), samples=pl.DataFrame(rows), stream_sums=None, groups=None
    )
    found = difference_of_means(opened)  # type: ignore[arg-type]
    assert found is not None
    np.testing.assert_allclose(found, [0, 0, 2])


def site() -> EditSite:
    """Four positions: two of the image, two of a caption; features 0 and 2 are active."""
    code = SparseCode(torch.tensor([[0, 2]] * 4), torch.tensor([[1.0, 5.0], [2, 5], [3, 5], [4, 5]]))
    reach = torch.ones(1, 4, dtype=torch.bool)
    segments = torch.tensor([IMAGE, IMAGE, CAPTION, CAPTION])
    return EditSite(torch.zeros(1, 4, 3), reach, segments, code, torch.eye(3))


def test_ablation_takes_out_the_features_activation_and_puts_the_segments_own_mean() -> None:
    taken = Ablation((0,)).delta(site())
    torch.testing.assert_close(taken, torch.tensor([[-1.0, 0, 0], [-2, 0, 0], [-3, 0, 0], [-4, 0, 0]]))
    replaced = Ablation((0,), replacement={IMAGE: torch.tensor([10.0]), CAPTION: torch.tensor([20.0])}).delta(site())
    torch.testing.assert_close(replaced[:, 0], torch.tensor([9.0, 8, 17, 16]))
    image = Ablation((0,), segments=(IMAGE,)).delta(site())
    torch.testing.assert_close(image[:, 0], torch.tensor([-1.0, -2, 0, 0]))
    torch.testing.assert_close(Steering(torch.tensor([1.0, 2, 3])).delta(site()), torch.tensor([[1.0, 2, 3]] * 4))


def test_a_features_mean_is_that_of_its_language_and_segment() -> None:
    random = np.random.default_rng(0)
    own = Profile(("en", "ar"), np.ones((4, 2)), *(random.random((4, 2, 9)) for _ in range(3)))
    own.mean[SEGMENTS.index(CAPTION), :, 7] = [3.0, 30.0]
    own.mean[SEGMENTS.index(IMAGE), :, 7] = [4.0, 40.0]
    english, arabic = (own.means([7], language) for language in ("en", "ar"))
    assert (float(english[CAPTION]), float(english[IMAGE])) == (3.0, 4.0)
    assert (float(arabic[CAPTION]), float(arabic[IMAGE])) == (30.0, 40.0)
