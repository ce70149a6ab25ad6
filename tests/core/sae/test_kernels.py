"""The hand-written arithmetic against torch's own; what a GPU runs is called by name, for none is here."""

import pytest
import torch

from core.sae.kernels import (
    Active,
    ByFeature,
    among_strongest_groups,
    bounds_of,
    decode,
    inner_by_product,
    rounded_product,
    sparse_decode,
    summed,
    summed_by_product,
    top_k,
)


@pytest.mark.parametrize("width", [5, 64, 299, 1024, 1500])
@pytest.mark.parametrize("k", [1, 5])
def test_top_k_finds_what_torch_finds(width: int, k: int) -> None:
    x = torch.randn(33, width, generator=torch.Generator().manual_seed(width))
    values, indices = top_k(x, k)
    expected = torch.topk(x, k)
    assert torch.equal(values.sort(dim=1, descending=True).values, expected.values)
    assert torch.equal(indices.sort(dim=1).values, expected.indices.sort(dim=1).values)
    assert torch.equal(x.gather(1, indices), values)


def test_top_k_of_equal_entries_still_gives_k_of_each_row() -> None:
    for level in (0.0, -torch.inf):
        x = torch.full((4, 100), level)
        x[2, 7] = 1
        values, indices = top_k(x, 3)
        assert values.shape == indices.shape == (4, 3)
        assert all(len(set(row)) == 3 for row in indices.tolist())
        assert 7 in indices[2].tolist()
        assert torch.equal(x.gather(1, indices), values)


def test_top_k_takes_an_entry_that_is_no_number_for_the_largest_as_torch_does() -> None:
    x = torch.randn(4, 100, generator=torch.Generator().manual_seed(0))
    x[1, 40] = torch.nan
    values, indices = top_k(x, 3)
    assert 40 in indices[1].tolist()
    assert torch.equal(values.nan_to_num(9).sort().values, torch.topk(x, 3).values.nan_to_num(9).sort().values)


def test_sparse_decode_equals_the_dense_product() -> None:
    generator = torch.Generator().manual_seed(1)
    decoder = torch.randn(30, 8, generator=generator)
    values, indices = torch.randn(6, 30, generator=generator).topk(4)
    dense = torch.zeros(6, 30).scatter_(1, indices, values)
    torch.testing.assert_close(sparse_decode(indices, values, decoder), dense @ decoder)


@pytest.mark.parametrize("active", [10, 400])  # a few entries are gathered, many go through dense products
def test_decode_and_gradients_of_a_code_equal_autograd(active: int) -> None:
    generator = torch.Generator().manual_seed(2)
    rows, features, d_model = 40, 30, 8
    places = torch.randperm(rows * features, generator=generator)[:active].sort().values
    values = torch.rand(active, generator=generator, requires_grad=True)
    decoder = torch.randn(features, d_model, generator=generator, requires_grad=True)
    g = torch.randn(rows, d_model, generator=generator)
    dense = torch.zeros(rows * features).scatter(0, places, values).view(rows, features)
    expected = dense @ decoder
    expected.backward(g)
    code = Active(places // features, places % features, values.detach())
    assert code.is_sparse((rows, features)) == (active == 10)
    torch.testing.assert_close(decode(code, decoder.detach(), rows), expected.detach())
    entries = ByFeature.of(code, features)
    order = torch.sort(code.features, stable=True).indices
    torch.testing.assert_close(entries.code_gradient(decoder.detach(), g), values.grad[order])
    torch.testing.assert_close(entries.gather(g, entries.active.rows, entries.active.values), decoder.grad)
    torch.testing.assert_close(entries.sum(entries.active.values), dense.detach().sum(0))


def test_top_k_of_no_rows_is_empty() -> None:
    values, indices = top_k(torch.empty(0, 1024), 5)
    assert values.shape == indices.shape == (0, 5)


@pytest.mark.parametrize("width", [64, 1024, 20_480])
@pytest.mark.parametrize("k", [1, 4])
def test_the_strongest_groups_hold_what_torch_finds(width: int, k: int) -> None:
    x = torch.randn(9, width, generator=torch.Generator().manual_seed(width))
    x[3] = 0.0
    x[4, width // 2] = torch.nan
    x[5, : width // 2] = x[5, width // 2 :]  # every entry twice
    values, indices = among_strongest_groups(x, k)
    expected = torch.topk(x, k).values
    assert torch.equal(values.nan_to_num(99).sort(dim=1, descending=True).values, expected.nan_to_num(99))
    assert torch.equal(x.gather(1, indices).nan_to_num(99), values.nan_to_num(99))
    assert all(len(set(row)) == k for row in indices.tolist())


def _entries(rows: int, of: int, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Bounds, ascending by row, of entries whose last row has none; columns and weights."""
    generator = torch.Generator().manual_seed(6)
    numbers = torch.randint(rows - 1, (count,), generator=generator).sort().values
    columns = torch.randint(of, (count,), generator=generator)
    return bounds_of(numbers, rows), columns, torch.randn(count, generator=generator)


def test_bounds_are_where_a_sorted_search_finds_them() -> None:
    numbers = torch.tensor([0, 0, 3, 3, 3, 5])
    assert bounds_of(numbers, 7).tolist() == [0, 2, 2, 2, 5, 5, 6, 6]
    assert torch.equal(bounds_of(numbers, 7), torch.searchsorted(numbers, torch.arange(8)))


@pytest.mark.parametrize("count", [0, 50])
def test_sums_and_inner_products_by_csr_matrices_are_embedding_bags(count: int) -> None:
    bounds, columns, weights = _entries(12, 20, count)
    generator = torch.Generator().manual_seed(7)
    left, right = torch.randn(12, 8, generator=generator), torch.randn(20, 8, generator=generator)
    torch.testing.assert_close(
        summed_by_product(bounds, columns, weights, right), summed(bounds, columns, weights, right)
    )
    rows = torch.arange(12).repeat_interleave(bounds.diff())
    expected = (left[rows] * right[columns]).sum(1)
    torch.testing.assert_close(inner_by_product(bounds, columns, left, right), expected)


def test_a_rounded_product_rounds_its_factors_and_not_its_sums() -> None:
    generator = torch.Generator().manual_seed(8)
    a, b = torch.randn(7, 300, generator=generator), torch.randn(300, 5, generator=generator)
    found = rounded_product(a, b)
    assert found.dtype == torch.float32
    exact = a.bfloat16().double() @ b.bfloat16().double()
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)
    assert (found.double() - a.double() @ b.double()).abs().max() > 1e-3
