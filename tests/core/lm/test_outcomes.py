from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.lm.agreement import logits_of
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.outcomes import (
    caption_predictions,
    continues_word,
    cut_after_word,
    divergence,
    forked,
    word_ends,
    word_log_probs,
    word_targets,
)
from core.lm.patched import build_batch, run_full
from core.lm.prompts import CaptionRequest, EncodedSample, encode_sample


@pytest.fixture(scope="module")
def loaded(tiny_text_gemma: Path) -> LoadedModel:
    return load_model(tiny_text_gemma, "float32", "cpu")


def encode(loaded: LoadedModel, caption: str) -> EncodedSample:
    return encode_sample(loaded, CaptionRequest("s", "s", "en", caption))


def log_probs(loaded: LoadedModel, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(dim=-1)


def by_hand(loaded: LoadedModel, ids: list[int], start: int, ends: torch.Tensor) -> float:
    table = log_probs(loaded, ids)
    spelled = sum(float(table[index - 1, ids[index]]) for index in range(start, len(ids)))
    return spelled + float(table[-1].exp()[ends].sum().log())


def test_a_words_probability_is_the_product_of_its_tokens_and_its_end(loaded: LoadedModel) -> None:
    ends = word_ends(loaded)
    captions = ["A woman is singing", "A man is", "In a kitchen, طبيبة"]
    spans = [(2, 7), (2, 5), (14, 19)]
    words = [cut_after_word(encode(loaded, text), *span) for text, span in zip(captions, spans, strict=True)]
    kept = [word for word in words if word is not None]
    assert len(kept) == 3
    batch = build_batch(loaded, [word.sample for word in kept])
    found = word_log_probs(loaded, run_full(loaded, batch), word_targets(kept, loaded.device), ends)
    for score, word in zip(found.tolist(), kept, strict=True):
        assert score == pytest.approx(by_hand(loaded, word.sample.ids, word.start, ends), abs=1e-4)


def test_two_words_behind_one_prefix_score_as_they_do_alone(loaded: LoadedModel) -> None:
    ends = word_ends(loaded)
    female, male = cut_after_word(encode(loaded, "A woman is"), 2, 7), cut_after_word(encode(loaded, "A man is"), 2, 5)
    assert female is not None
    assert male is not None
    row, fork = forked(female, male)
    states = run_full(loaded, build_batch(loaded, [row], [fork]))
    for word, place in ((female, None), (male, [fork[1]])):
        found = word_log_probs(loaded, states, word_targets([word], loaded.device, place), ends)
        assert float(found) == pytest.approx(by_hand(loaded, word.sample.ids, word.start, ends), abs=1e-4)


def test_words_behind_different_prefixes_cannot_share_a_row(loaded: LoadedModel) -> None:
    one, other = cut_after_word(encode(loaded, "A woman is"), 2, 7), cut_after_word(encode(loaded, "the man is"), 4, 7)
    assert one is not None
    assert other is not None
    with pytest.raises(ValueError, match="different tokens"):
        forked(one, other)


def test_the_male_form_does_not_count_the_female_one_that_it_begins(loaded: LoadedModel) -> None:
    """ممرض is a prefix of ممرضة: p(ممرض, then its end) + p(ممرض, then more) = p(ممرض's tokens)."""
    ends = word_ends(loaded)
    word = cut_after_word(encode(loaded, "في ممرض"), 3, 7)
    assert word is not None
    assert not word.closed
    states = run_full(loaded, build_batch(loaded, [word.sample]))
    closed = replace(word, closed=True)
    whole, stem = (
        float(word_log_probs(loaded, states, word_targets([w], loaded.device), ends)) for w in (word, closed)
    )
    more = float(log_probs(loaded, word.sample.ids)[-1].exp()[~ends].sum())
    assert whole < stem
    assert whole == pytest.approx(stem + float(torch.log1p(torch.tensor(-more))), abs=1e-4)


def test_tokens_that_open_with_a_space_or_punctuation_end_a_word(loaded: LoadedModel) -> None:
    ends = word_ends(loaded)
    vocabulary = loaded.tokenizer.get_vocab()
    for token in ("▁woman", ".", ",", "<eos>", "<bos>", "<0x20>", "<0x2E>"):
        if token in vocabulary:
            assert ends[vocabulary[token]], token
    for token in ("ة", "a", "<0x61>", "<0xD8>", "<0xA9>"):
        if token in vocabulary:
            assert not ends[vocabulary[token]], token
    assert "▁woman" in vocabulary
    assert ends.shape == (loaded.unembedding.shape[0],)


@pytest.mark.parametrize(
    ("character", "continues"),
    [
        ("a", True),
        ("ة", True),
        ("\u064e", True),
        ("ـ", True),
        ("\u200d", True),
        ("3", True),
        (" ", False),
        ("،", False),
    ],
)
def test_letters_marks_and_joiners_continue_a_word(character: str, continues: bool) -> None:
    assert continues_word(character) is continues


def test_a_word_inside_a_token_has_no_prefix_of_its_own(loaded: LoadedModel) -> None:
    sample = encode(loaded, "A woman")
    assert cut_after_word(sample, 4, 7) is None
    assert cut_after_word(sample, 40, 44) is None


def test_divergence_is_kl_and_cross_entropy_over_the_shared_words(loaded: LoadedModel) -> None:
    samples = [encode(loaded, "A woman is singing"), encode(loaded, "A man")]
    batch = build_batch(loaded, samples)
    clean = run_full(loaded, batch)
    patched = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    predictions = caption_predictions(samples, [[(2, 7)], [(0, 1), (2, 5)]], loaded.device)
    found = divergence(loaded, clean, patched, predictions)
    before, after = (logits_of(loaded, states[0]).log_softmax(dim=-1) for states in (clean, patched))
    kl, entropy = [], []
    for index, span in enumerate(samples[0].spans):
        if span is not None and not (span[0] < 7 and span[1] > 2):
            kl.append(torch.nn.functional.kl_div(after[index - 1], before[index - 1], reduction="sum", log_target=True))
            entropy.append(-after[index - 1, samples[0].ids[index]])
    assert float(found.kl[0]) == pytest.approx(float(torch.stack(kl).mean()), rel=1e-4)
    assert float(found.cross_entropy[0]) == pytest.approx(float(torch.stack(entropy).mean()), rel=1e-4)
    assert torch.isnan(found.kl[1])


def test_an_unpatched_run_does_not_diverge(loaded: LoadedModel) -> None:
    samples = [encode(loaded, "A woman is singing")]
    states = run_full(loaded, build_batch(loaded, samples))
    found = divergence(loaded, states, states, caption_predictions(samples, [[]], loaded.device))
    assert float(found.kl[0]) == pytest.approx(0, abs=1e-6)
