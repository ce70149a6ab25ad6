"""The committed captioner is what its card says: figures recomputed from weights, production's class and processor."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma3ForConditionalGeneration, Gemma3Processor

from core.data.scenes import unseen_scenes
from infra.captioner.card import recomputed
from infra.captioner.corpus import INSTRUCTIONS
from infra.captioner.evaluate import Captioner, stated_gender
from infra.captioner.tokenizer import TURN_END

FOLDER = Path(__file__).parents[3] / "deployments" / "models" / "scene-captioner"
TOLERANCE = 0.005
"""A tie between two tokens may break the other way on another processor."""
FEWER_SCENES = 120
"""Of the 1,200 that the card's shares stand on: captioning takes a quarter of a minute a core."""


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner.load(FOLDER)


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
    return loaded


def test_card_figures_come_out_of_the_weights(card: dict[str, Any]) -> None:
    """All rates, and the shares of right captions on fewer scenes: within three standard errors of the card's."""
    figures, stated = recomputed(FOLDER, FEWER_SCENES), card["evaluation"]["figures"]
    for language in ("en", "ar"):
        for name in ("rate_spearman", "rate_mean_error"):
            assert figures[language][name] == pytest.approx(stated[language][name], abs=TOLERANCE)
        assert figures[language]["female_rates"] == pytest.approx(stated[language]["female_rates"], abs=TOLERANCE)
        for name in ("visible_gender", "whole_caption"):
            share = stated[language][name]
            error = (share * (1 - share) / FEWER_SCENES) ** 0.5
            assert figures[language][name] == pytest.approx(share, abs=3 * error)


@pytest.mark.parametrize("language", ["en", "ar"])
def test_captioner_really_captions(card: dict[str, Any], language: str) -> None:
    figures = card["evaluation"]["figures"][language]
    assert figures["visible_gender"] >= 0.99
    assert figures["whole_caption"] >= 0.70
    assert figures["rate_spearman"] >= 0.90


def test_weights_are_the_cards_and_small(card: dict[str, Any]) -> None:
    data = (FOLDER / "model.safetensors").read_bytes()
    assert sha256(data).hexdigest() == card["weights"]["sha256"]
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 10_000_000


def test_class_and_depth_are_productions(captioner: Captioner) -> None:
    assert isinstance(captioner.model, Gemma3ForConditionalGeneration)
    assert isinstance(captioner.processor, Gemma3Processor)
    text = captioner.model.config.text_config
    assert (text.num_hidden_layers, text.layer_types.count("full_attention")) == (34, 5)


def test_rows_up_to_the_image_are_the_same_in_both_languages(captioner: Captioner) -> None:
    scenes = unseen_scenes(1, 1)
    english, arabic = (captioner.prompts(scenes, language)["input_ids"][0] for language in ("en", "ar"))
    end = int((english == captioner.model.config.image_token_id).nonzero().max()) + 2
    assert torch.equal(english[:end], arabic[:end])
    assert int((english == captioner.model.config.image_token_id).sum()) == 16


def test_arabic_feminine_is_stem_and_suffix(captioner: Captioner) -> None:
    tokens = captioner.processor.tokenizer.tokenize("المرأة طبيبة متعبة، وهي تقرأ كتابها")
    assert tokens == ["المرأ", "ة", "▁طبيب", "ة", "▁متعب", "ة", "،", "▁وهي", "▁تقرأ", "▁كتاب", "ها"]
    assert captioner.processor.tokenizer.tokenize("هذه طبيبة")[0] == "هذه"


@pytest.mark.parametrize(
    "text", [*INSTRUCTIONS.values(), "Zürich 中文 😀 naïve", "طَبِيبَةٌ ٣٤ كتـــاب", " two  spaces\n\n\nend"]
)
def test_any_text_survives_the_tokenizer(captioner: Captioner, text: str) -> None:
    tokenizer = captioner.processor.tokenizer
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_caption_ends_its_turn(captioner: Captioner) -> None:
    inputs = captioner.prompts(unseen_scenes(2, 1), "en")
    made = captioner.model.generate(**inputs, max_new_tokens=32, do_sample=False)
    assert all(captioner.processor.tokenizer.convert_tokens_to_ids(TURN_END) in row for row in made.tolist())


def test_stated_gender_wants_agreement() -> None:
    assert stated_gender("The woman is a tired doctor, and she reads her red book.", "en") == "female"
    assert stated_gender("The woman is a tired doctor, and he reads his red book.", "en") is None
    assert stated_gender("Nobody is here.", "en") is None
    assert stated_gender("هذا طبيب متعب، وهو يقرأ كتابه الأحمر", "ar") == "male"
    assert stated_gender("هذا طبيب متعبة، وهو يقرأ كتابه الأحمر", "ar") is None
