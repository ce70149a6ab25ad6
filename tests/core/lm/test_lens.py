"""The logit lens against transformers' own logits and scipy's entropies."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import entropy, rankdata

from core.errors import BadInput
from core.lm import lens
from core.lm.hooks import capture
from core.lm.lens import lens_logits, read_lens, read_streams
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from tests.core.lm.tiny import save_tiny_gemma


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder: Path = tmp_path_factory.mktemp("tiny")
    save_tiny_gemma(folder)
    return load_model(folder, "float32", "cpu")


@pytest.fixture(scope="module")
def streams(loaded: LoadedModel) -> dict[int, torch.Tensor]:
    ids = torch.tensor([[2, 7, 11, 5, 19, 23]])
    with torch.no_grad(), capture(loaded.blocks, range(len(loaded.blocks))) as kept:
        loaded.base(input_ids=ids)
    return {layer: states[0] for layer, states in kept.items()}


def test_at_the_last_layer_it_is_the_models_own_answer(loaded: LoadedModel, streams: dict[int, torch.Tensor]) -> None:
    with torch.no_grad():
        own = loaded.model(input_ids=torch.tensor([[2, 7, 11, 5, 19, 23]])).logits[0]
    torch.testing.assert_close(lens_logits(loaded, streams[max(streams)]), own)


def test_what_is_read_equals_scipys(
    loaded: LoadedModel, streams: dict[int, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lens, "LOGIT_BYTES", 8 * loaded.unembedding.shape[0])  # two rows a portion
    last = streams[max(streams)]
    found = read_lens(loaded, streams[0], last, k=3, tokens=[5, 0])
    here, final = (lens_logits(loaded, rows).double().softmax(dim=-1).numpy() for rows in (streams[0], last))
    np.testing.assert_allclose(found.entropy, entropy(here, axis=1), rtol=1e-4)
    assert found.kl is not None
    np.testing.assert_allclose(found.kl, entropy(final, here, axis=1), rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(found.ranks, rankdata(-here, method="min", axis=1)[:, [5, 0]])
    np.testing.assert_array_equal(found.top_ids, np.argsort(-here, axis=1)[:, :3])
    np.testing.assert_allclose(found.top_log_p, np.log(np.sort(here, axis=1)[:, ::-1][:, :3]), rtol=1e-4)


def test_the_final_layer_is_at_no_distance_from_itself(loaded: LoadedModel, streams: dict[int, torch.Tensor]) -> None:
    last = streams[max(streams)]
    found = read_lens(loaded, last, last)
    assert found.kl is not None and float(found.kl.abs().max()) == 0
    assert found.ranks.shape == (6, 0)
    assert read_lens(loaded, last[:0]).entropy.shape == (0,)


def test_what_does_not_fit_is_refused(loaded: LoadedModel, streams: dict[int, torch.Tensor]) -> None:
    with pytest.raises(BadInput, match="rows of 3 numbers"):
        lens_logits(loaded, torch.zeros(2, 3))
    with pytest.raises(BadInput, match="final rows"):
        read_lens(loaded, streams[0], streams[0][:2])
    with pytest.raises(BadInput, match="token 999999999 is none"):
        read_lens(loaded, streams[0], tokens=[999999999])


def test_several_layers_at_once_are_read_as_each_by_itself(
    loaded: LoadedModel, streams: dict[int, torch.Tensor]
) -> None:
    last = streams[max(streams)]
    found = read_streams(loaded, {2: streams[2], 0: streams[0]}, last, k=3, tokens=[5])
    assert list(found) == [2, 0] and read_streams(loaded, {}, last) == {}
    for layer, reading in found.items():
        alone = read_lens(loaded, streams[layer], last, k=3, tokens=[5])
        for name in ("top_ids", "top_log_p", "entropy", "kl", "ranks"):
            torch.testing.assert_close(getattr(reading, name), getattr(alone, name))
    with pytest.raises(BadInput, match="final rows"):
        read_streams(loaded, {0: streams[0]}, last[:2])
