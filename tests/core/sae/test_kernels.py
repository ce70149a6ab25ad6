"""The hand-written arithmetic against torch's own."""

import pytest
import torch

from core.sae.kernels import Active, ByFeature, decode, sparse_decode, top_k


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
