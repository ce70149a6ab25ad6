"""Two continuations in one row, and the same as two rows."""

import pytest
import torch
from torch import Tensor, nn

from core.lm.forks import Fork, forked

# Row 0: ab | cd | e continues ab; row 1 is not forked, and padded.
REAL = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
FORK = Fork.at([(2, 4), (3, 3)], 5, torch.device("cpu"))


def test_each_continuation_has_a_sequence_of_its_own() -> None:
    assert FORK.order.tolist() == [[0, 1, 2, 3, 2], [0, 1, 2, 3, 4]]
    assert FORK.sequences(REAL).tolist() == [[0, 1, 2, 3], [0, 1, 2, -1], [0, 1, 4, -1], [0, 1, 2, -1]]


def test_states_of_the_sequences_come_back_to_their_places() -> None:
    places = FORK.sequences(REAL)
    states = torch.stack([places, torch.arange(4)[:, None].expand_as(places)], dim=-1).float()
    joined = FORK.joined(states)
    assert joined[REAL].tolist() == [[0, 0], [1, 0], [2, 0], [3, 0], [4, 2], [0, 1], [1, 1], [2, 1]]


class _Keyword(nn.Module):
    def forward(self, stream: Tensor, attention_mask: Tensor | None = None) -> Tensor | None:
        return attention_mask


class _None(nn.Module):
    def forward(self, stream: Tensor, **_options: object) -> Tensor:
        return stream


@pytest.mark.parametrize("plain", [None, torch.ones(5, 5).tril().bool()[None, None]])
def test_a_mask_is_exchanged_wherever_it_stands(plain: Tensor | None) -> None:
    blocks = nn.ModuleList([_Keyword()])
    stream = torch.zeros(2, 5, 3)
    with forked(blocks, FORK):
        given = [blocks[0](stream, plain), blocks[0](stream, attention_mask=plain)]
    expected = torch.ones(5, 5).tril().bool()
    expected[4, 2:4] = False  # the second continuation does not see the first one
    assert all(torch.equal(mask[0, 0], expected) for mask in given)
    assert blocks[0](stream, plain) is plain


def test_a_block_without_a_mask_or_with_another_one_is_told() -> None:
    with pytest.raises(ValueError, match="take no attention_mask"), forked(nn.ModuleList([_None()]), FORK):
        pass
    blocks = nn.ModuleList([_Keyword()])
    with forked(blocks, FORK), pytest.raises(ValueError, match=r"another shape \(\[2, 5\]\)"):
        blocks[0](torch.zeros(2, 5, 3), torch.ones(2, 5))
