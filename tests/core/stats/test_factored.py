"""A product of factors against the dense product, as numpy and scikit-learn decompose it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from core.errors import BadInput
from core.stats.factored import FactoredMatrix


def factors(left: int, middle: int, right: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    kind = {"generator": made, "dtype": torch.float64}
    return torch.randn(left, middle, **kind), torch.randn(middle, right, **kind)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(0, 5))
def test_its_decomposition_is_the_dense_products(left: int, middle: int, right: int, seed: int) -> None:
    product = FactoredMatrix(*factors(left, middle, right, seed))
    dense = product.AB.numpy()
    values = np.linalg.svd(dense, compute_uv=False)
    kept = len(product.S)
    assert kept == min(left, middle, right)
    np.testing.assert_allclose(product.S, values[:kept], atol=1e-10)
    np.testing.assert_allclose(values[kept:], 0, atol=1e-10)
    np.testing.assert_allclose(product.U * product.S @ product.Vh, dense, atol=1e-10)
    np.testing.assert_allclose(product.U.mT @ product.U, np.eye(kept), atol=1e-10)
    assert product.rank == np.linalg.matrix_rank(dense)
    assert float(product.norm) == pytest.approx(np.linalg.norm(dense))


def test_its_principal_components_are_scikit_learns() -> None:
    product = FactoredMatrix(*factors(40, 3, 7))
    found, reference = product.pca(), PCA(n_components=3).fit(product.AB.numpy())
    np.testing.assert_allclose(found.variance, reference.explained_variance_)
    np.testing.assert_allclose(found.share, reference.explained_variance_ratio_)
    signs = np.sign((found.directions.numpy() * reference.components_).sum(axis=1))
    np.testing.assert_allclose(found.directions.numpy() * signs[:, None], reference.components_, atol=1e-9)
    centred = product.AB - product.AB.mean(dim=0)
    np.testing.assert_allclose(found.scores @ found.directions, centred, atol=1e-9)


@pytest.mark.parametrize(("values", "rank"), [([2.0] * 5, 5.0), ([1.0, 0, 0, 0, 0], 1.0), ([3.0, 3.0, 0, 0, 0], 2.0)])
def test_the_effective_rank_of_equal_singular_values_is_their_number(values: list[float], rank: float) -> None:
    turned, _ = torch.linalg.qr(factors(9, 5, 1)[0])
    product = FactoredMatrix(turned * torch.tensor(values), torch.eye(5, dtype=torch.float64))
    assert float(product.effective_rank) == pytest.approx(rank)
    assert float(product.entropy) == pytest.approx(np.log(rank), abs=1e-9)


def test_its_eigenvalues_are_the_dense_products_but_for_zeros() -> None:
    product = FactoredMatrix(*factors(8, 3, 8))
    dense = sorted(np.linalg.eigvals(product.AB.numpy()), key=abs, reverse=True)
    found = sorted(product.eigenvalues.numpy(), key=abs, reverse=True)
    np.testing.assert_allclose(np.abs(found), np.abs(dense[:3]), atol=1e-9)
    np.testing.assert_allclose(np.abs(dense[3:]), 0, atol=1e-7)
    with pytest.raises(BadInput, match="not square"):
        _ = FactoredMatrix(*factors(8, 3, 7)).eigenvalues


def test_products_and_the_transposed_stay_factors() -> None:
    one, other = FactoredMatrix(*factors(6, 2, 5)), FactoredMatrix(*factors(5, 4, 9, seed=1))
    joined = one @ other
    np.testing.assert_allclose(joined.AB, one.AB @ other.AB)
    assert joined.A.shape[-1] == 2
    np.testing.assert_allclose((other.T @ one.T).AB, joined.AB.mT)
    np.testing.assert_allclose((one @ torch.eye(5)).AB, one.AB)


def test_a_batch_is_decomposed_matrix_by_matrix_and_half_precision_in_float32() -> None:
    left, right = torch.randn(3, 6, 2, dtype=torch.bfloat16), torch.randn(3, 2, 5, dtype=torch.bfloat16)
    batch = FactoredMatrix(left, right)
    assert batch.S.dtype == torch.float32 and batch.shape == (3, 6, 5)
    for number in range(3):
        one = FactoredMatrix(left[number], right[number])
        np.testing.assert_allclose(batch.S[number], one.S, rtol=1e-5)


def test_zeros_have_rank_and_entropy_0_and_factors_that_do_not_meet_are_refused() -> None:
    nothing = FactoredMatrix(torch.zeros(4, 2), torch.zeros(2, 3))
    assert nothing.rank == 0 and float(nothing.entropy) == 0
    with pytest.raises(BadInput, match="factored matrix"):
        FactoredMatrix(torch.zeros(4, 2), torch.zeros(3, 3))


def test_a_batch_is_indexed_by_its_leading_axes() -> None:
    batch = FactoredMatrix(torch.randn(2, 3, 4, 2), torch.randn(3, 2, 5))
    assert torch.equal(batch[1, 2].AB, batch.AB[1, 2]) and batch[0].shape == (3, 4, 5)
    assert torch.equal(batch[:, :2].AB, batch.AB[:, :2])
    with pytest.raises(BadInput, match="indexed by 2 leading axes"):
        batch[0, 0, 0]
