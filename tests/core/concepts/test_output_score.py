"""Promoted directions: gains against an independent forward pass, a planted direction, and labels that say nothing."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from core.concepts.output_score import OutputRuns, Promoted, chosen_sentences, output_scores
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.study.concept_scan import OutputConfig

LAYER = 1
CONFIG = OutputConfig(controls=19, bootstrap=200)


@pytest.fixture(scope="module")
def loaded(tiny_text_gemma: Path) -> LoadedModel:
    return load_model(tiny_text_gemma, "float32", "cpu")


def table(texts: list[str], labels: list[int]) -> pl.DataFrame:
    count = len(texts)
    return pl.DataFrame(
        {
            "sentence_id": [f"s{number:04d}" for number in range(count)],
            "sentence": texts,
            "label": pl.Series(labels, dtype=pl.Int8),
            "family": [f"f{number}" for number in range(count)],
            "split": ["held-out"] * count,
        }
    )


@pytest.fixture(scope="module")
def sentences() -> pl.DataFrame:
    """Balls where the concept is, books where it is not."""
    places = ("park", "kitchen", "garden", "street", "school", "market")
    texts = [f"A man holds a red {thing} in a {place}." for place in places for thing in ("ball", "book")]
    return table(texts, [3, 0] * len(places))


def log_likelihood(loaded: LoadedModel, text: str, vector: torch.Tensor) -> float:
    """Mean log p of a sentence's tokens, by transformers alone, with a vector added after a block at every token."""
    ids = torch.tensor([[loaded.tokenizer.bos_token_id, *loaded.tokenizer(text)["input_ids"]]])

    def add(_module: object, _inputs: object, output: object) -> object:
        stream = output[0] if isinstance(output, tuple) else output
        changed = torch.cat([stream[:, :1], stream[:, 1:] + vector], dim=1)  # BOS stays as it is
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = loaded.blocks[LAYER].register_forward_hook(add)
    try:
        with torch.no_grad():
            logits = loaded.model(ids).logits[0]
    finally:
        handle.remove()
    scores = logits[:-1].log_softmax(-1).gather(1, ids[0, 1:, None])
    return float(scores.mean())


def test_gains_are_those_of_a_pass_of_each_sentence_alone(loaded: LoadedModel, sentences: pl.DataFrame) -> None:
    width = loaded.unembedding.shape[1]
    vectors = torch.randn(2, width, generator=torch.Generator().manual_seed(0))
    gains, norm = OutputRuns(loaded, sentences).gains(LAYER, vectors)
    assert norm > 0
    for number, vector in enumerate(vectors):
        for place, text in enumerate(sentences["sentence"]):
            clean = log_likelihood(loaded, text, torch.zeros(width))
            alone = log_likelihood(loaded, text, vector) - clean
            assert gains[number, place] == pytest.approx(alone, abs=1e-4)


def test_nothing_added_gains_nothing(loaded: LoadedModel, sentences: pl.DataFrame) -> None:
    gains, _ = OutputRuns(loaded, sentences).gains(LAYER, torch.zeros(1, loaded.unembedding.shape[1]))
    assert np.all(gains == 0)


def promoted(loaded: LoadedModel, vector: torch.Tensor, seed: int = 0) -> Promoted:
    noise = torch.randn(19, vector.numel(), generator=torch.Generator().manual_seed(seed))
    controls = torch.nn.functional.normalize(noise, dim=-1) * vector.norm()
    return Promoted("sae", 5, len(loaded.blocks) - 1, 1, vector, controls)  # nothing but the head comes after it


def toward(loaded: LoadedModel, word: str, other: str) -> torch.Tensor:
    """The direction whose direct path tells one word from another."""
    ids = [loaded.tokenizer(f" {name}", add_special_tokens=False)["input_ids"][0] for name in (word, other)]
    head = loaded.unembedding.detach().float()
    direction = head[ids[0]] - head[ids[1]]
    return 8 * direction / direction.norm()


def test_a_direction_that_writes_the_concept_s_word_scores_and_its_opposite_too(
    loaded: LoadedModel, sentences: pl.DataFrame
) -> None:
    vector = toward(loaded, "ball", "book")
    own = output_scores(loaded, sentences, [promoted(loaded, vector), promoted(loaded, -vector)], CONFIG)
    up, down = own.iter_rows(named=True)
    assert up["score"] > max(0, up["control_high"]) and up["low"] > 0
    assert down["score"] < min(0, down["control_low"]) and down["high"] < 0
    assert up["p"] == pytest.approx(1 / 20, abs=0.06) and up["draws"] == 19


def test_labels_that_say_nothing_give_no_small_p(loaded: LoadedModel, sentences: pl.DataFrame) -> None:
    vector, random = toward(loaded, "ball", "book"), np.random.default_rng(0)
    found = []
    for _ in range(40):
        labels = random.permutation(sentences["label"].to_numpy())
        shuffled = sentences.with_columns(pl.Series("label", labels, dtype=pl.Int8))
        found.append(float(output_scores(loaded, shuffled, [promoted(loaded, vector)], CONFIG)["p"][0]))
    assert np.mean(np.array(found) <= 0.05) <= 0.1


def test_sentences_are_held_out_and_of_both_labels() -> None:
    texts = [f"text {number}" for number in range(40)]
    every = table(texts, [number % 4 for number in range(40)])
    split = pl.when(pl.int_range(40) < 20).then(pl.lit("selection")).otherwise(pl.lit("held-out")).alias("split")
    chosen = chosen_sentences(every.with_columns(split), 3, seed=1)
    assert chosen["label"].value_counts().sort("label").rows() == [(0, 3), (3, 3)]
    assert set(chosen["split"]) == {"held-out"}
    assert chosen.equals(chosen_sentences(every.with_columns(split), 3, seed=1))
    assert output_scores(None, chosen, [], CONFIG).is_empty()  # type: ignore[arg-type]  # no model is needed
