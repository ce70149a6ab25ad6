"""Passes that a GPU has no memory for; a fake of the GPU, for none is here."""

from pathlib import Path

import pytest
import torch

from core.activations.capture import capture_shard
from core.lm.loading import LoadedModel
from tests.core.activations.test_capture import folder as folder
from tests.core.activations.test_capture import job_of, matrices_in
from tests.core.activations.test_capture import vlm as vlm


def test_a_pass_that_a_gpu_has_no_memory_for_is_run_again_in_halves(
    vlm: LoadedModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake of the GPU: a block that fails on more than 64 tokens, as CUDA does."""
    fitted: dict[torch.device, int] = {}
    monkeypatch.setattr("core.activations.capture._FITTED", fitted)
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
    assert fitted[vlm.device] <= 64
    assert seen[-1] == 6
    for name, matrix in matrices_in(tmp_path / "tight").items():
        assert torch.allclose(matrix.float(), matrices_in(tmp_path / "roomy")[name].float(), rtol=2**-7, atol=1e-4)


def test_a_sequence_that_fits_no_gpu_is_told(
    vlm: LoadedModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.activations.capture._FITTED", {})

    def full(_module: object, _inputs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = vlm.blocks[0].register_forward_pre_hook(full)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            capture_shard(vlm, job_of(folder), tmp_path)
    finally:
        handle.remove()
