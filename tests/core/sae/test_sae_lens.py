"""The logit lens through an autoencoder: what is read is its reconstruction, and its error stands beside it."""

import pytest
import torch

from core.errors import BadInput
from core.lm.language_model import LanguageModel
from core.lm.lens import lens_logits, read_lens
from core.lm.loading import load_model
from core.sae.architectures import SparseAutoencoder
from core.sae.lens import read_lens_through
from core.sae.metrics import evaluate
from tests.core.lm.tiny import save_tiny_text_gemma
from tests.core.sae.dictionary import random_sae


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return LanguageModel(load_model(save_tiny_text_gemma(tmp_path_factory.mktemp("tiny")), "float32", "cpu"))


@pytest.fixture(scope="module")
def rows(lm: LanguageModel) -> tuple[torch.Tensor, torch.Tensor]:
    batch = lm.tokens(["A woman is singing in a park.", "A man"])
    _, kept = lm.run_with_cache(batch, ["resid_post.1", "resid_post.3"])
    stream, final = (kept[name][batch.real] for name in ("resid_post.1", "resid_post.3"))
    return stream, final


def test_what_is_read_is_the_reconstruction(lm: LanguageModel, rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    stream, final = rows
    sae = random_sae(32, 50, 6)
    found = read_lens_through(lm.loaded, sae, stream, final, k=4, tokens=[5])
    expected = read_lens(lm.loaded, sae(stream), final, k=4, tokens=[5])
    for name in ("top_ids", "top_log_p", "entropy", "kl", "ranks"):
        torch.testing.assert_close(getattr(found.reading, name), getattr(expected, name))
    assert found.fvu == pytest.approx(evaluate(sae, stream).fvu, rel=1e-4)
    torch.testing.assert_close(found.error, (stream - sae(stream)).norm(dim=1) / stream.norm(dim=1))
    clean, through = (lens_logits(lm.loaded, x).softmax(dim=-1) for x in (stream, sae(stream)))
    torch.testing.assert_close(found.divergence, (clean * (clean / through).log()).sum(dim=-1), rtol=1e-3, atol=1e-5)


def test_an_autoencoder_without_error_reads_the_same(
    lm: LanguageModel, rows: tuple[torch.Tensor, torch.Tensor]
) -> None:
    perfect = SparseAutoencoder(32, 64, None).requires_grad_(False)
    perfect.W_enc.copy_(torch.cat([torch.eye(32), -torch.eye(32)], dim=1))
    perfect.W_dec.copy_(perfect.W_enc.T)
    found = read_lens_through(lm.loaded, perfect, rows[0])
    torch.testing.assert_close(found.reading.entropy, read_lens(lm.loaded, rows[0]).entropy)
    assert found.fvu == pytest.approx(0, abs=1e-10) and float(found.divergence.abs().max()) < 1e-5


def test_an_autoencoder_of_another_width_is_refused(lm: LanguageModel, rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(BadInput, match="the SAE is of rows of 12 numbers; these have 32"):
        read_lens_through(lm.loaded, random_sae(12), rows[0])
