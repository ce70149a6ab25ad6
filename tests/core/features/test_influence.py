"""Promoted tokens against the formula written out, on a tiny Gemma 3."""

from pathlib import Path

import pytest
import torch

from core.features.influence import PROMOTED, promoted_tokens
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.norms import norm_gain
from core.lm.prompts import spell
from tests.core.sae.dictionary import random_sae


@pytest.fixture
def loaded(tiny_text_gemma: Path) -> LoadedModel:
    loaded = load_model(tiny_text_gemma, "float32", "cpu")
    weight = loaded.final_norm.weight
    weight.copy_(torch.linspace(-0.5, 1.5, len(weight)))
    return loaded


def test_the_gain_of_gemmas_norm_is_one_plus_its_weight(loaded: LoadedModel) -> None:
    torch.testing.assert_close(norm_gain(loaded.final_norm, loaded.unembedding), 1 + loaded.final_norm.weight)


def test_the_gain_of_a_norm_that_takes_the_mean_out_is_its_weight() -> None:
    like, plain = torch.zeros(1, 8), torch.nn.LayerNorm(8)
    torch.nn.init.normal_(plain.weight)
    torch.nn.init.normal_(plain.bias)

    class Own(torch.nn.Module):
        """Cohere's is no nn.LayerNorm."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return plain(x)

    for norm in (plain, Own()):
        torch.testing.assert_close(norm_gain(norm, like), plain.weight.detach(), rtol=1e-4, atol=1e-5)


def test_tokens_are_ranked_by_the_direct_path(loaded: LoadedModel) -> None:
    sae = random_sae(d_model=loaded.shape.d_model)
    unembedding = loaded.unembedding - loaded.unembedding.mean(dim=0)
    expected = unembedding @ ((1 + loaded.final_norm.weight) * sae.W_dec[9])
    found = promoted_tokens(sae, loaded, [2, 9], 5)
    assert found.schema == PROMOTED
    assert found.height == 2 * 2 * 5
    own = found.filter(feature=9)
    promoted, suppressed = own.filter(direction="promoted"), own.filter(direction="suppressed")
    assert promoted["token_id"].to_list() == expected.topk(5).indices.tolist()
    assert suppressed["token_id"].to_list() == (-expected).topk(5).indices.tolist()
    torch.testing.assert_close(promoted["score"].to_torch(), expected.topk(5).values)
    assert promoted["token"][0] == spell(loaded, promoted["token_id"][0])


def test_soft_capped_logits_are_capped(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sae = random_sae(d_model=loaded.shape.d_model)
    plain = promoted_tokens(sae, loaded, [1], 3)
    monkeypatch.setattr(loaded.text_model.config, "final_logit_softcapping", 0.1)
    capped = promoted_tokens(sae, loaded, [1], 3)
    assert capped["token_id"].equals(plain["token_id"])
    torch.testing.assert_close(capped["score"].to_torch(), 0.1 * torch.tanh(plain["score"].to_torch() / 0.1))


def test_a_byte_of_a_character_is_spelt_by_its_own_name(loaded: LoadedModel) -> None:
    token = loaded.tokenizer.convert_tokens_to_ids("<0xD9>")
    assert spell(loaded, token) == "<0xD9>"
