"""What capture does otherwise on a GPU: passes that it has no memory for, images read ahead. Fakes: none is here."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from core.activations.budget import PASS, TokenBudget, budget_of
from core.activations.capture import capture_shard
from core.activations.passes import Batch, CaptionPasses
from core.lm.loaded import LoadedModel
from tests.core.activations.test_capture import folder as folder
from tests.core.activations.test_capture import job_of, matrices_in
from tests.core.activations.test_capture import vlm as vlm


def test_a_pass_that_a_gpu_has_no_memory_for_is_run_again_in_halves(
    vlm: LoadedModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake of the GPU: a block that fails on more than 64 tokens, as CUDA does."""
    monkeypatch.setattr("core.activations.budget._KNOWN", {})
    failed: list[int] = []

    def small_gpu(_module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].shape[0] * inputs[0].shape[1] > 64:
            failed.append(inputs[0].shape[0] * inputs[0].shape[1])
            raise torch.OutOfMemoryError("CUDA out of memory")

    capture_shard(vlm, job_of(folder), tmp_path / "roomy")
    handle = vlm.blocks[2].register_forward_pre_hook(small_gpu)
    seen: list[int] = []
    try:
        capture_shard(vlm, job_of(folder), tmp_path / "tight", lambda done, total, metrics=None: seen.append(done))
        tries = len(failed)
        capture_shard(vlm, job_of(folder), tmp_path / "again")
    finally:
        handle.remove()
    assert tries > 1
    assert len(failed) == tries, "the second shard knew"
    assert budget_of(vlm, None).tokens <= 64
    assert seen[-1] == 6
    for name, matrix in matrices_in(tmp_path / "tight").items():
        assert torch.allclose(matrix.float(), matrices_in(tmp_path / "roomy")[name].float(), rtol=2**-7, atol=1e-4)


def test_a_sequence_that_fits_no_gpu_is_told(
    vlm: LoadedModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.activations.budget._KNOWN", {})

    def full(_module: object, _inputs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = vlm.blocks[0].register_forward_pre_hook(full)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            capture_shard(vlm, job_of(folder), tmp_path)
    finally:
        handle.remove()


def test_the_first_passes_tell_how_many_tokens_a_gpu_takes(
    vlm: LoadedModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake of CUDA's figures: 1000 bytes free beyond 500 allocated, of which every token of a pass takes 10."""
    widest: list[int] = []
    budget = TokenBudget(PASS, probing=True)
    monkeypatch.setattr("core.activations.budget._KNOWN", {(str(vlm.folder), vlm.device, None, False): budget})
    fakes = {
        "reset_peak_memory_stats": lambda _device: None,
        "memory_allocated": lambda _device: 500,
        "memory_reserved": lambda _device: 500,
        "max_memory_allocated": lambda _device: 500 + 10 * max(widest),
        "mem_get_info": lambda _device: (1000, 2000),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    handle = vlm.blocks[0].register_forward_pre_hook(
        lambda _module, inputs: widest.append(inputs[0].shape[0] * inputs[0].shape[1])
    )
    try:
        capture_shard(vlm, job_of(folder, batch_size=1), tmp_path)
    finally:
        handle.remove()
    assert (budget.tokens, budget.probing) == (80, False)
    assert max(widest[2:]) <= 80


def test_a_budget_that_is_stated_or_on_a_cpu_is_not_probed(vlm: LoadedModel) -> None:
    assert budget_of(vlm, 64) == TokenBudget(64)
    assert budget_of(vlm, None) == TokenBudget(PASS)


def test_images_are_read_ahead_for_a_gpu_and_none_is_left_over(
    vlm: LoadedModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture_shard(vlm, job_of(folder, batch_size=1), tmp_path / "plain")
    expected: list[list[tuple[int, ...]]] = []
    expect = CaptionPasses.expect

    def watched(passes: CaptionPasses, batches: Sequence[Batch]) -> None:
        expected.append([batch.groups for batch in batches])
        expect(passes, batches)

    monkeypatch.setattr(CaptionPasses, "expect", watched)
    monkeypatch.setattr(CaptionPasses, "device", torch.device("cuda"))
    capture_shard(vlm, job_of(folder, batch_size=1), tmp_path / "ahead")
    assert expected == [[(0,), (1,)], [(1,), (2,)], [(2,)], []]
    assert not vlm.coming
    for name, matrix in matrices_in(tmp_path / "ahead").items():
        assert torch.equal(matrix, matrices_in(tmp_path / "plain")[name])
