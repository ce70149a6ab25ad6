"""Rows that stay in their files: every one once an epoch, in an order of its own, with nothing lost by a kill."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.sae import reading
from core.sae.reading import Pairs, StoredRows, batches, block_order
from core.sae.rows import Rows, load_rows
from core.sae.training import train
from core.study.sae import SAEConfig
from tests.core.features.planted_layer import make_layer

CONFIG = SAEConfig(expansion=4, k=3, epochs=4, batch_size=16, checkpoint_every=3, image_share=0.5)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """A captured layer's rows, too many for the little memory allowed."""
    monkeypatch.setattr("core.sae.rows._HELD_BYTES", 1024)
    monkeypatch.setattr(reading, "_WINDOW", 48)
    monkeypatch.setattr(reading, "_BLOCK", 8)
    layer = make_layer(tmp_path / "layer", images=24)
    return load_rows(layer.table, layer.samples, CONFIG)


def test_many_rows_stay_in_their_files_and_few_do_not(rows: Rows, tmp_path: Path) -> None:
    assert isinstance(rows.train, StoredRows)
    few = make_layer(tmp_path / "few", images=2)
    assert isinstance(load_rows(few.table, few.samples, CONFIG).train, torch.Tensor)


def test_an_epoch_draws_every_row_once_and_the_next_in_another_order(rows: Rows) -> None:
    full = len(rows.train) // 16 * 16
    known = {tuple(row): place for place, row in enumerate(rows.train[:].tolist())}
    orders = []
    for epoch in (0, 1):
        drawn = torch.cat([one.x for one in batches(rows.pairs, 16, seed=3, epoch=epoch)])
        orders.append([known[tuple(row)] for row in drawn.tolist()])
    assert all(len(set(order)) == full for order in orders)
    assert orders[0] != orders[1]


def test_an_epoch_goes_on_in_its_middle(rows: Rows) -> None:
    whole = [one.x for one in batches(rows.pairs, 16, seed=3, epoch=0)]
    assert len(whole) > 4  # over one window
    for first in range(len(whole)):
        rest = [one.x for one in batches(rows.pairs, 16, seed=3, epoch=0, first=first)]
        assert len(rest) == len(whole) - first
        assert all(torch.equal(one, other) for one, other in zip(rest, whole[first:], strict=True))


def test_targets_are_drawn_with_their_rows(rows: Rows) -> None:
    assert isinstance(rows.train, StoredRows)
    for one in batches(Pairs(rows.train, rows.train), 16, seed=0, epoch=0):
        assert one.y is not None
        assert torch.equal(one.x, one.y)


def test_a_window_holds_whole_blocks_of_neighbours() -> None:
    order = block_order(20_000, 4096, seed=0, epoch=0)
    assert sorted(order.tolist()) == list(range(20_000))
    blocks = np.unique(order[:4096].numpy() // 256)
    assert len(blocks) <= 4096 / 256 + 1
    assert (np.diff(order[:4096].numpy()) != 1).mean() > 0.99  # and their rows are shuffled together


def test_a_reader_that_fails_fails_the_step(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise OSError("layer_0.en.safetensors: gone")

    monkeypatch.setattr("core.activations.table.LayerTable.read", gone)
    with pytest.raises(OSError, match="gone"):
        next(batches(rows.pairs, 16, seed=0, epoch=0))


class _Killed(Exception):
    pass


def test_training_from_files_survives_kills_to_the_bit(rows: Rows, tmp_path: Path) -> None:
    undisturbed = train(rows, CONFIG, tmp_path / "undisturbed")
    steps, kills = int(undisturbed.quality.metrics["steps"]), 0
    for stop in (5, 11, steps - 2):

        def fuse(done: int, total: int, metrics: dict[str, float] | None = None, stop: int = stop) -> None:
            if done == stop:
                raise _Killed

        with pytest.raises(_Killed):
            train(rows, CONFIG, tmp_path / "killed", fuse)
        kills += 1
    resumed = train(rows, CONFIG, tmp_path / "killed")
    assert kills == 3
    assert resumed.quality.metrics == undisturbed.quality.metrics
    assert resumed.history.equals(undisturbed.history)


def test_rows_in_files_train_as_well_as_rows_in_memory(rows: Rows, tmp_path: Path) -> None:
    longer = CONFIG.model_copy(update={"epochs": 20})
    stored = train(rows, longer, tmp_path / "stored").quality.metrics["train_fvu"]
    in_memory = Rows(rows.train[:], rows.held_out, rows.counts)
    held = train(in_memory, longer, tmp_path / "held").quality.metrics["train_fvu"]
    assert stored == pytest.approx(held, rel=0.05)


def test_some_rows_are_of_every_kind_where_kinds_alternate() -> None:
    """Every so manieth row would be of one kind alone."""
    x = torch.arange(8192.0)[:, None]
    chosen = reading.some_of(x, 2048)
    assert len(chosen) == len(set(chosen.tolist())) == 2048
    assert torch.equal(chosen, chosen.sort().values)
    assert 900 < int((chosen % 2).sum()) < 1150
    assert torch.equal(reading.some_of(x, 2048), chosen)
    assert torch.equal(reading.some_of(x[:10], 2048), torch.arange(10))


def test_a_threshold_is_set_on_rows_of_every_kind(tmp_path: Path) -> None:
    """Sparse and dense rows by turns, as prompts and captions are where rows are pooled."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(200, 16, generator=generator)
    share = torch.tensor([0.02, 0.1]).repeat(3072)[:, None]
    x = ((torch.rand(6144, 200, generator=generator) < share) * torch.rand(6144, 200, generator=generator)) @ basis
    config = SAEConfig(architecture="batchtopk", expansion=8, k=4, epochs=4, batch_size=256)
    metrics = train(Rows(x[:5120], x[5120:], {}), config, tmp_path).quality.metrics
    assert metrics["held_out_l0"] == pytest.approx(4, rel=0.15)
