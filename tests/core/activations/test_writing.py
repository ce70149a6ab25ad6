"""A shard's matrices on their way to disk."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from core.activations.writing import Picked, ShardWriter

COUNTS = {"shared": 0, "en": 7, "ar": 3}
PORTIONS = [("en", [1, 2, 5]), ("ar", [0, 1, 2]), ("en", [0, 3, 4, 6])]


def matrices(width: int) -> dict[tuple[int, str], torch.Tensor]:
    generator = torch.Generator().manual_seed(width)
    return {
        (layer, file): torch.randn(count, width, generator=generator).bfloat16()
        for layer in (0, 5)
        for file, count in COUNTS.items()
        if count
    }


def rows_of(whole: dict[tuple[int, str], torch.Tensor], file: str, places: list[int]) -> Picked:
    return Picked(file, np.array(places), {layer: whole[layer, file][places] for layer in (0, 5)})


@pytest.mark.parametrize("width", [1, 3, 16])
def test_files_written_in_portions_are_safetensors_own_bytes(width: int, tmp_path: Path) -> None:
    whole = matrices(width)
    with ShardWriter(tmp_path, COUNTS, (0, 5), width) as writer:
        for file, places in PORTIONS:
            writer.put(rows_of(whole, file, places))
    names = {f"layer_{layer}.{file}.safetensors" for layer, file in whole}
    assert {path.name for path in tmp_path.iterdir()} == names
    for (layer, file), matrix in whole.items():
        path = tmp_path / f"layer_{layer}.{file}.safetensors"
        assert path.read_bytes() == save({"activation": matrix})


def test_rows_that_are_no_numbers_are_known_until_they_are_written_again(tmp_path: Path) -> None:
    whole = matrices(4)
    whole[5, "en"][2, 1] = torch.inf
    with ShardWriter(tmp_path, COUNTS, (0, 5), 4) as writer:
        writer.put(rows_of(whole, "en", [1, 2, 3]))
        writer.settle()
        assert {key: wrong.nonzero()[0].tolist() for key, wrong in writer.nonfinite.items() if wrong.any()} == {
            (5, "en"): [2]
        }
        whole[5, "en"][2, 1] = 0
        writer.put(rows_of(whole, "en", [2]))
        writer.settle()
        assert not any(wrong.any() for wrong in writer.nonfinite.values())
    assert torch.equal(load_file(tmp_path / "layer_5.en.safetensors")["activation"][1:4], whole[5, "en"][1:4])


def test_a_disk_that_runs_full_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a row goes in, then nothing, as POSIX disks do."""
    taken: list[int] = []

    def nearly_full(handle: int, content: memoryview, offset: int) -> int:
        if taken:
            raise OSError(28, "No space left on device")
        taken.append(offset)
        return len(content) // 2

    monkeypatch.setattr(os, "pwrite", nearly_full)
    before = threading.active_count()
    whole = matrices(4)
    with pytest.raises(OSError, match="No space left"), ShardWriter(tmp_path, COUNTS, (0, 5), 4) as writer:
        writer.put(rows_of(whole, "en", [1, 2]))
        writer.put(rows_of(whole, "en", [3]))
    assert threading.active_count() == before


def test_the_rows_of_a_batch_on_a_gpu_wait_while_it_runs_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake of the GPU, whose rows arrive when they are let go."""
    whole, arrived = matrices(4), threading.Event()
    coming = iter([(file, layer, places) for file, places in PORTIONS for layer in (0, 5)])

    def fetch(_rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert arrived.wait(10)
        file, layer, places = next(coming)
        rows = whole[layer, file][places]
        return rows, torch.ones(len(rows), dtype=torch.bool)

    monkeypatch.setattr("core.activations.writing.fetcher", lambda _device: fetch)
    with ShardWriter(tmp_path, COUNTS, (0, 5), 4) as writer:
        for file, places in PORTIONS:  # none of these waits for the first
            nowhere = {layer: torch.empty(len(places), 4, device="meta") for layer in (0, 5)}
            writer.put(Picked(file, np.array(places), nowhere))
        assert not arrived.is_set()
        arrived.set()
    for (layer, file), matrix in whole.items():
        assert torch.equal(load_file(tmp_path / f"layer_{layer}.{file}.safetensors")["activation"], matrix)
