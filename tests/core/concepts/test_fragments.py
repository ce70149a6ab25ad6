"""Fragments: one causal pass stands for a pass over every beginning of a sentence."""

from pathlib import Path

import pytest
import torch

from core.concepts.fragments import read_fragments
from core.lm.hooks import capture
from core.lm.loading import load_model
from core.lm.prompts import UnusableText
from core.study.sites import Site
from tests.core.lm.families import save_family
from tests.core.lm.reference import relative_error

SENTENCES = ["A woman sings in a park. She holds her red book.", "طبيبة تغني 😀 في حديقة", "A"]
LAYERS = [0, 2]


@pytest.mark.parametrize("kind", ["gemma3", "llama", "gpt_neox"])
@pytest.mark.parametrize("site", ["resid_post", "mlp_out_normed"])
def test_a_fragments_state_equals_a_pass_over_it_alone(
    kind: str, site: Site, tmp_path: Path, tiny_text_gemma: Path
) -> None:
    loaded = load_model(tiny_text_gemma if kind == "gemma3" else save_family(kind, tmp_path), "float32", "cpu")
    found = read_fragments(loaded, SENTENCES, LAYERS, site, token_budget=50)
    for sentence, fragments in zip(SENTENCES, found, strict=True):
        ids = loaded.tokenizer("<bos>" + sentence, add_special_tokens=False).input_ids
        assert len(fragments.texts) == len(ids) - 1
        assert fragments.texts[-1] == sentence
        for length in range(2, len(ids) + 1):
            with capture(loaded.points(site), LAYERS) as states, torch.inference_mode():
                loaded.base(input_ids=torch.tensor([ids[:length]]))
            for layer in LAYERS:
                ours = fragments.states[layer][length - 2]
                assert relative_error(ours[None], states[layer][0, -1:]) < 1e-5


def test_fragments_spell_the_sentence_step_by_step(tiny_text_gemma: Path) -> None:
    loaded = load_model(tiny_text_gemma, "float32", "cpu")
    (fragments,) = read_fragments(loaded, ["A woman sings"], [0])
    assert all("A woman sings".startswith(text) for text in fragments.texts)
    assert list(fragments.texts) == sorted(fragments.texts, key=len)


def test_unusable_sentences_are_named(tiny_text_gemma: Path) -> None:
    loaded = load_model(tiny_text_gemma, "float32", "cpu")
    with pytest.raises(UnusableText, match="sentence 2"):
        read_fragments(loaded, ["fine", "not <eos> fine"], [0])
    with pytest.raises(ValueError, match="sentence 1: is empty"):
        read_fragments(loaded, [""], [0])
