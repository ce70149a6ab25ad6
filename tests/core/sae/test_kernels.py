"""The hand-written arithmetic against torch's own."""

import pytest
import torch

from core.sae.kernels import sparse_decode, sparse_gradients, top_k


@pytest.mark.parametrize("width", [5, 64, 1024, 1500])
@pytest.mark.parametrize("k", [1, 5])
def test_top_k_finds_what_torch_finds(width: int, k: int) -> None:
    x = torch.randn(33, width, generator=torch.Generator().manual_seed(width))
    values, indices = top_k(x, k)
    expected = torch.topk(x, k)
    assert torch.equal(values.sort(dim=1, descending=True).values, expected.values)
    assert torch.equal(indices.sort(dim=1).values, expected.indices.sort(dim=1).values)
    assert torch.equal(x.gather(1, indices), values)


def test_top_k_of_equal_entries_still_gives_k_of_each_row() -> None:
    x = torch.zeros(4, 20)
    x[2, 7] = 1
    values, indices = top_k(x, 3)
    assert values.shape == indices.shape == (4, 3)
    assert all(len(set(row)) == 3 for row in indices.tolist())
    assert 7 in indices[2].tolist()


def test_sparse_decode_equals_the_dense_product() -> None:
    generator = torch.Generator().manual_seed(1)
    decoder = torch.randn(30, 8, generator=generator)
    values, indices = torch.randn(6, 30, generator=generator).topk(4)
    dense = torch.zeros(6, 30).scatter_(1, indices, values)
    torch.testing.assert_close(sparse_decode(indices, values, decoder), dense @ decoder)


def test_sparse_gradients_equal_autograd() -> None:
    generator = torch.Generator().manual_seed(2)
    centred, g = torch.randn(9, 8, generator=generator), torch.randn(9, 8, generator=generator)
    encoder = torch.randn(30, 8, generator=generator, requires_grad=True)
    decoder = torch.randn(30, 8, generator=generator, requires_grad=True)
    bias = torch.randn(30, generator=generator, requires_grad=True)
    values, indices = (centred @ encoder.T + bias - 4).topk(4)  # the shift closes some by relu
    dense = torch.zeros(9, 30).scatter(1, indices, values.relu())
    assert (values < 0).any()
    (g * (dense @ decoder)).sum().backward()
    code = (values.detach().relu(), indices)
    ours = sparse_gradients(centred, code, decoder.detach(), g)
    torch.testing.assert_close(ours.encoder, encoder.grad)
    torch.testing.assert_close(ours.decoder, decoder.grad)
    torch.testing.assert_close(ours.b_enc, bias.grad)
