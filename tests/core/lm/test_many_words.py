"""Many words behind one prefix score as each does alone, one forward pass of the whole model a word."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.many_words import Spelling, extended, lay_out, many_word_log_probs, spelled, word_places
from core.lm.outcomes import WordSequence, cut_after_word, word_ends
from core.lm.patched import build_batch, clean_run, run_full, states_from
from core.lm.prompts import CaptionRequest, encode_sample

WORDS = ("woman", "man", "men", "policewoman", "girl", "ممرض", "ممرضة", "طبيبة")


@pytest.fixture(scope="module")
def loaded(tiny_text_gemma: Path) -> LoadedModel:
    return load_model(tiny_text_gemma, "float32", "cpu")


def behind(loaded: LoadedModel, caption: str, start: int, end: int) -> WordSequence:
    word = cut_after_word(encode_sample(loaded, CaptionRequest("s", "s", "en", caption)), start, end)
    assert word is not None
    return word


def alone(loaded: LoadedModel, prefix: list[int], word: Spelling, ends: torch.Tensor) -> float:
    """transformers' own model on prefix and word, nothing shared."""
    ids = [*prefix, *word]
    with torch.no_grad():
        table = loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    said = sum(float(table[place - 1, ids[place]]) for place in range(len(prefix), len(ids)))
    return said + float(table[-1, ends].logsumexp(dim=0))


@pytest.mark.parametrize("apart", [False, True])
def test_words_in_one_row_score_as_each_does_alone(loaded: LoadedModel, apart: bool) -> None:
    """Two rows of different prefixes and different words; also where continuations must run as rows of their own."""
    loaded, ends = replace(loaded, forks_apart=apart), word_ends(loaded)
    firsts = [behind(loaded, "A woman is singing", 2, 7), behind(loaded, "In a kitchen, طبيبة", 14, 19)]
    words = [spelled(loaded, firsts[0], WORDS), spelled(loaded, firsts[1], WORDS[4:])]
    layouts = [lay_out([word for word in own if word is not None]) for own in words]
    rows, starts = [], []
    for first, layout in zip(firsts, layouts, strict=True):
        prefix = replace(
            first.sample,
            **{name: getattr(first.sample, name)[: first.start] for name in ("ids", "segments", "special", "spans")},
        )
        row, begins = extended(prefix, layout.continuations)
        rows.append(row)
        starts.append(begins)
    batch = build_batch(loaded, rows, starts)
    places = word_places(layouts, [first.start for first in firsts], starts, loaded.device)
    found = many_word_log_probs(loaded, run_full(loaded, batch), places, ends)
    expected = [
        alone(loaded, first.sample.ids[: first.start], word, ends)
        for first, own in zip(firsts, words, strict=True)
        for word in own
        if word is not None
    ]
    assert found.tolist() == pytest.approx(expected, abs=1e-4)
    resumed = states_from(loaded, batch, 1, clean_run(loaded, batch, [1])[1])
    assert many_word_log_probs(loaded, resumed, places, ends).tolist() == pytest.approx(expected, abs=1e-4)


def test_a_word_is_spelled_as_it_is_in_its_caption(loaded: LoadedModel) -> None:
    for caption, start, end in (("A woman is", 2, 7), ("women at", 0, 5), ("In a kitchen, طبيبة تقرأ", 14, 19)):
        word = behind(loaded, caption, start, end)
        (own,) = spelled(loaded, word, [caption[start:end]])
        assert own == tuple(word.sample.ids[word.start :])


def test_words_that_begin_another_are_read_off_it() -> None:
    layout = lay_out([(1, 2), (1, 2, 3), (4,), (1, 2)], first=[(4, 5)])
    assert layout.continuations == ((4, 5), (1, 2, 3))
    assert layout.words == ((1, 2), (1, 3), (0, 1), (1, 2))


def test_the_head_reads_each_position_once() -> None:
    layout = lay_out([(1, 2), (1, 2, 3), (4,)])
    places = word_places([layout], [3], [[3, 6]], torch.device("cpu"))
    assert sorted(places.position.tolist()) == [2, 3, 4, 5, 6]
    assert places.position[places.end].tolist() == [4, 5, 6]
    assert len(places.token) == 2 + 3 + 1
