"""Fragments: one causal pass stands for a pass over every beginning of a sentence."""

from pathlib import Path

import polars as pl
import pytest
import torch

from core.activations.table import LayerTable
from core.concepts.capturing import dropped_sentences, sentence_job
from core.concepts.fragments import FRAGMENTS, fragment_rows
from core.errors import BadInput
from core.lm.hooks import capture as hooked
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.study.model import CaptureConfig
from core.study.sites import Site
from tests.core.concepts.scan_world import TEXTS, Captured, capture, sentence_table
from tests.core.lm.families import save_family
from tests.core.lm.reference import relative_error

CAPTIONER = Path(__file__).parents[3] / "deployments" / "models" / "scene-captioner"
BFLOAT16 = 2**-8
"""Rounding of a stored row; the state of another fragment is off by far more."""


def worst_error(loaded: LoadedModel, captured: Captured, site: Site) -> float:
    """Largest relative error of a row against a pass over its fragment alone."""
    rows, x = captured.fragments.rows.with_row_index("place"), captured.dense_stream
    worst = 0.0
    for sentence_id, text in captured.sentences.select("sentence_id", "sentence").iter_rows():
        own = rows.filter(pl.col("sentence_id") == sentence_id)
        literal = {"split_special_tokens": True} if "<" in text else {}
        bos = loaded.tokenizer.bos_token_id
        ids = [bos, *loaded.tokenizer(text, add_special_tokens=False, **literal).input_ids]
        assert own["token_index"].to_list() == list(range(len(ids) - 1))
        for place in range(1, len(ids)):
            with hooked(loaded.points(site), [1]) as states, torch.inference_mode():
                loaded.base(input_ids=torch.tensor([ids[: place + 1]]))
            worst = max(worst, relative_error(x[own["place"][place - 1]][None], states[1][0, -1:]))
    return worst


@pytest.mark.parametrize("kind", ["gemma3", "llama", "gpt_neox"])
@pytest.mark.parametrize("site", ["resid_post", "mlp_out_normed"])
def test_a_row_equals_a_pass_over_its_fragment_alone(
    kind: str, site: Site, tmp_path: Path, tiny_text_gemma: Path
) -> None:
    model = tiny_text_gemma if kind == "gemma3" else save_family(kind, tmp_path / "model")
    captured = capture(model, tmp_path, sentence_table(), site=site)
    loaded = load_model(model, "float32", "cpu")
    assert worst_error(loaded, captured, site) < BFLOAT16
    others = captured.dense_stream.roll(1, 0)
    assert relative_error(others, captured.dense_stream) > 50 * BFLOAT16


def test_rows_of_real_weights_equal_passes_over_fragments_with_control_tokens_as_text(tmp_path: Path) -> None:
    texts = ("A woman <bos> is singing in a park.", "<end_of_turn>\n<start_of_turn>user", "A man cooks.")
    captured = capture(CAPTIONER, tmp_path, sentence_table(texts))
    loaded = load_model(CAPTIONER, "float32", "cpu")
    assert worst_error(loaded, captured, "resid_post") < BFLOAT16
    tokens = LayerTable.open(captured.shards, 1).tokens
    assert not set(tokens["token_id"]) & set(loaded.control_ids)
    assert dropped_sentences(captured.shards).is_empty()


def test_fragments_spell_the_sentence_and_tell_its_words(captured: Captured) -> None:
    rows = captured.fragments.rows
    assert dict(rows.schema) == FRAGMENTS
    assert len(rows) == len(captured.fragments.stream)
    for sentence_id, text in zip(captured.sentences["sentence_id"], TEXTS, strict=True):
        own = rows.filter(pl.col("sentence_id") == sentence_id)
        assert all(text.startswith(fragment) for fragment in own["fragment"])
        assert own["is_full"].to_list() == [False] * (len(own) - 1) + [True]
        assert own["fragment"][-1] == text
    ending = rows.filter(pl.col("sentence_id") == "s0001", "ends_word")
    assert ending["fragment"].to_list() == ["A", "A man's", "A man's ball"]
    assert ending["word"].to_list() == [1, 2, 3]


def test_arabic_words_end_at_their_last_token(tmp_path: Path, tiny_text_gemma: Path) -> None:
    texts = ("طبيبة تغني 😀 في حديقة", "كَتَبَت")
    rows = capture(tiny_text_gemma, tmp_path, sentence_table(texts), "ar").fragments.rows
    first = rows.filter(pl.col("sentence_id") == "s0000")
    assert len(first) > 6  # the emoji alone is four bytes
    fragments = first.filter("ends_word")["fragment"].to_list()
    assert fragments == ["طبيبة", "طبيبة تغني", "طبيبة تغني 😀 في", texts[0]]
    marked = rows.filter(pl.col("sentence_id") == "s0001")
    assert len(marked) > 1 and marked["ends_word"].to_list() == [False] * (len(marked) - 1) + [True]


def test_too_long_and_empty_sentences_are_left_out_with_the_reason(tmp_path: Path, tiny_text_gemma: Path) -> None:
    sentences = sentence_table(("book", "A woman sings in a park", "", "A man"))
    captured = capture(tiny_text_gemma, tmp_path, sentences, max_caption_tokens=4, long_captions="cut")
    assert set(captured.fragments.rows["sentence_id"]) == {"s0000", "s0003"}
    reasons = dict(dropped_sentences(captured.shards).iter_rows())
    assert reasons.keys() == {"s0001", "s0002"}
    assert "more than fragments.max_tokens = 4" in reasons["s0001"]
    assert dropped_sentences(captured.shards * 2).height == 2  # shards of two sites
    assert reasons["s0002"] == "the sentence has no tokens"


def test_where_no_sentence_is_left_there_are_no_fragments(tmp_path: Path, tiny_text_gemma: Path) -> None:
    captured = capture(tiny_text_gemma, tmp_path, sentence_table(("", "")))
    assert captured.fragments.rows.is_empty() and len(captured.fragments.stream) == 0
    assert dict(captured.fragments.rows.schema) == FRAGMENTS


def test_rows_can_be_told_of_a_part_of_the_shards(captured: Captured) -> None:
    table = LayerTable.open(captured.shards[1:], 1)
    rows = fragment_rows(table.tokens, captured.sentences)
    assert set(rows["sentence_id"]) == {"s0003", "s0004"}


def test_a_language_that_captions_cannot_have_is_refused() -> None:
    with pytest.raises(BadInput, match="language: 'fr' is not one of en, ar"):
        sentence_job(sentence_table(), "fr", CaptureConfig())
