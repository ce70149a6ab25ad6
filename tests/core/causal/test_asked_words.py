"""Words asked where a caption's first word of the concept stands, beside transformers' own model word by word."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from core.causal.asked_words import AT_WORD, BEHIND, NEUTRAL, AskedWords, ask
from core.data.concept import LAST_PROMPT
from core.data.gender_concept import GENDER
from core.features.inputs import AnalysisInputs
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.outcomes import word_ends
from core.lm.patched import build_batch, run_full
from core.lm.prompts import CaptionRequest, encode_sample
from tests.core.causal.causal_world import make_samples

INSTRUCTION = "Describe the image in English."


@pytest.fixture(scope="module")
def loaded(tiny_gemma: Path) -> LoadedModel:
    return load_model(tiny_gemma, "float32", "cpu")


@pytest.fixture(scope="module")
def inputs(loaded: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> AnalysisInputs:
    folder = tmp_path_factory.mktemp("asked") / "w"
    return opened(loaded, folder, make_samples(folder, {"select": 2, "test": 2}))


def opened(loaded: LoadedModel, folder: Path | None, samples: pl.DataFrame) -> AnalysisInputs:
    unopened: Any = {}.__getitem__
    instructions = {"en": INSTRUCTION, "ar": INSTRUCTION}
    return AnalysisInputs(
        samples, folder, None, (0,), ("en", "ar"), unopened, lambda: loaded, instructions, concept=GENDER
    )


def whole(loaded: LoadedModel, inputs: AnalysisInputs, row: dict[str, Any], before: str, word: str) -> float:
    """log p(word and its end) behind `before`, by transformers' own forward on the whole sequence."""
    image = None if inputs.images is None else inputs.images / row["image"]
    fields = (row["sample_id"], row["image_id"], "en", before + word, INSTRUCTION if image else "", image)
    sample = encode_sample(loaded, CaptionRequest(*fields))
    states = run_full(loaded, build_batch(loaded, [sample]))[0]
    table = (states @ loaded.unembedding.T).log_softmax(dim=-1)
    bare = len(before.rstrip())  # a space before the word is a token by itself in some vocabularies
    first = next(i for i, span in enumerate(sample.spans) if span is not None and span[1] > bare)
    said = sum(float(table[place - 1, sample.ids[place]]) for place in range(first, len(sample.ids)))
    return said + float(table[-1, word_ends(loaded)].logsumexp(dim=0))


def expected(loaded: LoadedModel, inputs: AnalysisInputs, row: dict[str, Any], before: str, opens: bool) -> list[float]:
    words = AskedWords.of(inputs, "en")
    found: list[list[float]] = [[], [], []]
    for word, kind, opening in zip(words.words, words.tells, words.opening, strict=True):
        if opens or not opening:
            found[kind].append(whole(loaded, inputs, row, before, word))
    return [float(np.logaddexp.reduce(some)) for some in found]


def test_a_caption_is_asked_at_its_first_word_of_either_side_with_every_words_end(
    loaded: LoadedModel, inputs: AnalysisInputs
) -> None:
    rows = inputs.samples.head(1)
    found, reasons = ask(inputs, loaded, rows, "en")
    one = found.row(0, named=True)
    assert one["at"] == AT_WORD and not reasons
    log_probs = expected(loaded, inputs, rows.row(0, named=True), "In a park, a ", opens=False)
    assert [one["log_first"], one["log_other"], one["log_neutral"]] == pytest.approx(log_probs, abs=1e-4)
    first, other, neutral = np.exp(log_probs)
    assert one["rate"] == pytest.approx(first / (first + other), abs=1e-4)
    assert one["neutral"] == pytest.approx(neutral / (first + other + neutral), abs=1e-4)


def test_a_caption_without_such_a_word_is_asked_where_it_would_begin(
    loaded: LoadedModel, inputs: AnalysisInputs
) -> None:
    rows = inputs.samples.head(1).with_columns(caption_en=pl.lit("A park."), gender_en=pl.lit("none"))
    found, _ = ask(inputs, loaded, rows, "en")
    one = found.row(0, named=True)
    assert one["at"] == LAST_PROMPT
    log_probs = expected(loaded, inputs, rows.row(0, named=True), "", opens=True)
    assert [one["log_first"], one["log_other"], one["log_neutral"]] == pytest.approx(log_probs, abs=1e-4)


def test_the_first_of_several_words_is_asked(loaded: LoadedModel, inputs: AnalysisInputs) -> None:
    """What follows it can be copied from it."""
    rows = inputs.samples.head(1)
    longer = rows.with_columns(caption_en=pl.lit("In a park, a woman reads her book."), twin_id=pl.lit(None))
    found = [ask(inputs, loaded, some, "en")[0]["log_first"][0] for some in (rows, longer)]
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_twins_differ_in_no_word_before_it_and_are_asked_the_same(loaded: LoadedModel, inputs: AnalysisInputs) -> None:
    """One picture with two captions: the model is asked before it says either."""
    rows = inputs.samples.head(2).with_columns(pl.col("image").first())
    found, _ = ask(inputs, loaded, rows, "en")
    assert rows["gender_en"].to_list() == ["female", "male"]
    assert found["rate"][0] == pytest.approx(found["rate"][1], abs=1e-6)


def test_what_cannot_be_asked_is_counted_by_reason(loaded: LoadedModel, inputs: AnalysisInputs) -> None:
    rows = inputs.samples.head(2).with_columns(caption_en=pl.Series([None, "In a park, <eos> a woman."]))
    found, reasons = ask(inputs, loaded, rows, "en")
    assert found.is_empty()
    assert reasons == {"no caption": 1, "the caption holds a control token": 1}
    wordless = replace(inputs, concept=replace(GENDER, pairs=lambda _: (), words=lambda *_: ()))
    wordless = replace(wordless, samples=inputs.samples.with_columns(gender_en=pl.lit("none")))
    assert ask(wordless, loaded, rows, "en")[1] == {"no words are listed for gender": 2}


def test_items_of_text_are_asked_behind_their_own_text(loaded: LoadedModel, inputs: AnalysisInputs) -> None:
    """No picture and no instruction: a prompt that all items share cannot tell one from another."""
    texts = ["A tired doctor", "Woman", "A tired woman"]
    samples = pl.DataFrame(
        {
            "sample_id": ["a", "b", "c"],
            "image_id": ["a", "b", "c"],
            "image": pl.Series([None] * 3, dtype=pl.String),
            "caption_en": texts,
            "gender_en": ["neutral", "female", "female"],
            "split": ["train"] * 3,
        }
    )
    alone = replace(inputs, samples=samples, images=None, languages=("en",), instructions={"en": ""})
    found, reasons = ask(alone, loaded, samples, "en")
    assert found.select("sample_id", "at").rows() == [("a", BEHIND), ("c", AT_WORD)]
    assert reasons == {"nothing stands before the word: no picture, no text": 1}
    log_probs = expected(loaded, alone, samples.row(0, named=True), "A tired doctor ", opens=False)
    assert found["log_first"][0] == pytest.approx(log_probs[0], abs=1e-4)


def test_neutral_words_tell_no_side_and_capitals_are_asked_at_the_beginning_alone(inputs: AnalysisInputs) -> None:
    words = AskedWords.of(inputs, "en")
    tells = dict(zip(words.words, words.tells.tolist(), strict=True))
    assert tells["person"] == NEUTRAL and tells["woman"] == 0 and tells["man"] == 1
    opening = dict(zip(words.words, words.opening.tolist(), strict=True))
    assert opening["Woman"] and not opening["woman"]
    assert not AskedWords.of(inputs, "ar").opening.any()
    assert torch.is_grad_enabled()
