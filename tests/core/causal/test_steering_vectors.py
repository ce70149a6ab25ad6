"""Directions of other methods, against scikit-learn; random ones as the stream varies; all of the length asked for."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from core.causal.steering_vectors import LDA, PROBE, fitted_directions, from_covariance, further_vectors, isotropic
from core.data.gender_concept import GENDER

D = 6


def rows(train: int = 40) -> tuple[list[str], np.ndarray, pl.DataFrame]:
    """Images whose sides differ along axis 2 in training images, along axis 4 in all others."""
    random = np.random.default_rng(0)
    names, means, samples = [], [], []
    for split, axis, count in (("train", 2, train), ("select", 4, 40), ("test", 4, 40)):
        for number in range(count):
            female, name = number % 2 == 0, f"{split}{number}"
            names.append(name)
            means.append(random.normal(size=D) * 2 + 6 * np.eye(D)[axis] * (1 if female else -1))
            gender = "female" if female else "male"
            samples.append({"image_id": name, "sample_id": name, "split": split, "gender_en": gender})
    return names, np.array(means), pl.DataFrame(samples)


def view(monkeypatch: pytest.MonkeyPatch, train: int = 40) -> tuple[Any, np.ndarray, np.ndarray]:
    names, means, samples = rows(train)
    monkeypatch.setattr("core.causal.steering_vectors.stream_means", lambda *_: (names, means))
    decoder = torch.nn.functional.normalize(torch.randn(8, D, generator=torch.Generator().manual_seed(0)), dim=1)
    opened = SimpleNamespace(
        concept=GENDER,
        languages=("en",),
        samples=samples,
        stream_sums=None,
        groups=None,
        sae=SimpleNamespace(W_dec=decoder),
    )
    return opened, means[:train], np.array([number % 2 == 0 for number in range(train)])


def cosine(one: Any, other: Any) -> float:
    one, other = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_the_discriminant_is_scikit_learns_on_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, x, y = view(monkeypatch)
    scaler = StandardScaler().fit(x)
    fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(scaler.transform(x), y)
    found = fitted_directions(opened, 0)
    assert cosine(found[LDA], fitted.coef_[0] / scaler.scale_) == pytest.approx(1, abs=1e-6)
    assert all(float(vector.norm()) == pytest.approx(1) for vector in found.values())


def test_both_point_to_the_first_side_of_training_images_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, _, _ = view(monkeypatch)
    for vector in fitted_directions(opened, 0).values():
        assert vector[2] > 0.6 and int(vector.abs().argmax()) == 2


def test_too_few_training_images_of_a_side_are_no_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, _, _ = view(monkeypatch, train=8)
    assert fitted_directions(opened, 0) == {}


def test_every_vector_has_the_length_asked_for_and_features_their_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, _, _ = view(monkeypatch)
    found = further_vectors(opened, [3, 5], [1, -1], 7.0, 0)
    assert list(found) == ["feature 3", "feature 5", LDA, PROBE]
    assert all(float(vector.norm()) == pytest.approx(7) for vector in found.values())
    torch.testing.assert_close(found["feature 5"], -7 * opened.sae.W_dec[5])


def test_isotropic_directions_prefer_none() -> None:
    drawn = torch.stack(isotropic(D, 4000, 2.0, 0)).numpy()
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 2, rtol=1e-5)
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(D) * 4 / D, atol=0.06)


def test_directions_from_the_covariance_vary_as_selection_rows_do() -> None:
    """Selection rows vary along axes 0 and 1, three times as much along 0; special rows and test rows elsewhere."""
    random = np.random.default_rng(1)
    stream = np.zeros((600, D), dtype=np.float32)
    stream[:200, :2] = random.normal(size=(200, 2)) * [3, 1] + 50
    stream[200:400, 4] = random.normal(size=200) * 100
    stream[400:, 5] = random.normal(size=200) * 100
    tokens = {"image_id": ["s"] * 400 + ["t"] * 200, "special": [False] * 200 + [True] * 200 + [False] * 200}
    table = SimpleNamespace(tokens=pl.DataFrame(tokens), read=lambda rows: torch.from_numpy(stream[rows]))
    opened: Any = SimpleNamespace(
        samples=pl.DataFrame({"image_id": ["s", "t"], "split": ["select", "test"]}), table=table
    )
    drawn = torch.stack(from_covariance(opened, 3000, 2.0, 0)).numpy()
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 2, rtol=1e-4)
    np.testing.assert_allclose(drawn[:, 2:], 0, atol=1e-5)
    # An unscaled draw (3 z0, z1) points at least as much along axis 0 as along axis 1 with probability 2 atan(3) / π.
    assert np.mean(np.abs(drawn[:, 0]) > np.abs(drawn[:, 1])) == pytest.approx(2 * np.arctan(3) / np.pi, abs=0.04)
