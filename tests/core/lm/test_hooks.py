import weakref

import pytest
import torch
from torch import Tensor, nn

from core.lm.hooks import capture, edit, edits, observe


class _Block(nn.Module):
    def __init__(self, as_tuple: bool) -> None:
        super().__init__()
        self.as_tuple = as_tuple
        self.calls = 0

    def forward(self, stream: Tensor) -> Tensor | tuple[Tensor, None]:
        self.calls += 1
        return (stream + 1, None) if self.as_tuple else stream + 1


class _Model(nn.Module):
    def __init__(self, as_tuple: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(as_tuple) for _ in range(4))

    def forward(self, stream: Tensor) -> Tensor:
        for block in self.blocks:
            output = block(stream)
            stream = output[0] if isinstance(output, tuple) else output
        return stream


def _hooks(model: _Model) -> int:
    return sum(len(block._forward_hooks) for block in model.blocks)


@pytest.mark.parametrize("as_tuple", [False, True])
def test_capture_gives_each_layer_and_stops_after_the_last(as_tuple: bool) -> None:
    model = _Model(as_tuple)
    with capture(model.blocks, [2, 0]) as streams:
        model(torch.zeros(1, 2, 3))
    assert sorted(streams) == [0, 2]
    assert streams[2].eq(3).all()
    assert [block.calls for block in model.blocks] == [1, 1, 1, 0]
    assert _hooks(model) == 0


def test_what_is_not_kept_is_let_go_before_the_pass_ends() -> None:
    model, alive = _Model(), []
    given: list[weakref.ref[Tensor]] = []

    def first_row(layer: int, stream: Tensor) -> Tensor:
        given.append(weakref.ref(stream.untyped_storage()))
        alive.append(sum(storage() is not None for storage in given))
        return stream[:, 0].clone()

    with capture(model.blocks, range(4), first_row) as rows:
        model(torch.zeros(1, 2, 3))
    assert {layer: row[0, 0].item() for layer, row in rows.items()} == {0: 1, 1: 2, 2: 3, 3: 4}
    assert max(alive) <= 2, "a block's input and its output, whatever the number of layers"


def test_hooks_are_removed_after_an_exception() -> None:
    model = _Model()
    for context in (capture(model.blocks, [0, 3]), observe(model.blocks, [1]), edit(model.blocks, 1, lambda x: x)):
        with pytest.raises(ZeroDivisionError), context:
            raise ZeroDivisionError
        assert _hooks(model) == 0


def test_a_layer_that_did_not_run_is_told() -> None:
    with pytest.raises(RuntimeError, match=r"layers \[1\] did not run"), capture(_Model().blocks, [1]):
        pass


def test_observe_lets_the_pass_end() -> None:
    model = _Model()
    with observe(model.blocks, [1]) as streams:
        out = model(torch.zeros(1, 1, 1))
    assert out.item() == 4
    assert streams[1].item() == 2


@pytest.mark.parametrize("as_tuple", [False, True])
def test_edit_changes_what_the_layers_above_see(as_tuple: bool) -> None:
    model = _Model(as_tuple)
    with edit(model.blocks, 1, lambda stream: stream * 10):
        assert model(torch.zeros(1, 1, 1)).item() == 22
    assert model(torch.zeros(1, 1, 1)).item() == 4


def test_changes_in_force_are_named_until_they_end() -> None:
    model = _Model()
    assert edits(model.blocks) == frozenset()
    with edit(model.blocks, 0, lambda stream: stream):
        outer = edits(model.blocks)
        with edit(model.blocks, 0, lambda stream: stream):
            assert len(edits(model.blocks)) == 2
        assert edits(model.blocks) == outer
    with edit(model.blocks, 0, lambda stream: stream):
        assert edits(model.blocks) != outer, "another change has another name"
    with pytest.raises(ValueError), edit(model.blocks, 3, lambda stream: stream):
        raise ValueError
    assert edits(model.blocks) == frozenset()
