from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.prompts import CaptionRequest, UnusableText, encode_sample, spell
from tests.core.lm.reference import INSTRUCTIONS, noise_images, processor_inputs
from tests.core.lm.tiny import TEMPLATE


@pytest.fixture(scope="module")
def vlm(tiny_gemma: Path) -> LoadedModel:
    return load_model(tiny_gemma, "float32", "cpu")


@pytest.fixture(scope="module")
def text(tiny_text_gemma: Path) -> LoadedModel:
    return load_model(tiny_text_gemma, "float32", "cpu")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_images(tmp_path_factory.mktemp("images"), 1)[0]


def _request(caption: str, image: Path | None, language: str = "en") -> CaptionRequest:
    return CaptionRequest("s", "i", language, caption, INSTRUCTIONS[language], image)


@settings(max_examples=30, deadline=None)
@given(caption=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20))
def test_ids_are_the_processors_own(vlm: LoadedModel, image: Path, caption: str) -> None:
    request = _request(caption, image)
    sample = encode_sample(vlm, request)
    assert sample.ids == processor_inputs(vlm, request)["input_ids"][0].tolist()
    assert sample.ids.count(vlm.tokenizer.bos_token_id) == 1
    covered = {index for span in sample.spans if span is not None for index in range(*span)}
    assert covered >= {index for index, letter in enumerate(caption) if letter.strip()}


def test_every_token_is_told_apart(vlm: LoadedModel, image: Path) -> None:
    sample = encode_sample(vlm, _request("امرأة تغني 😀", image, "ar"))
    assert sample.segments.count("image") == 16
    assert set(sample.segments[sample.prefix_length :]) == {"caption"}
    spans = [span for span in sample.spans if span is not None]
    assert {sample.caption[start:end] for start, end in spans} >= {"😀"}
    assert "".join(dict.fromkeys(sample.caption[start:end].strip() for start, end in spans)) == "امرأةتغني😀"
    words = [
        spell(vlm, token)
        for token, segment, special in zip(sample.ids, sample.segments, sample.special)
        if segment == "prompt" and not special
    ]
    assert "".join(words) == INSTRUCTIONS["ar"]
    assert sample.special[sample.prefix_length - 1], "the last prompt token is chat control"
    assert not any(sample.special[sample.prefix_length :])


def test_an_empty_caption_is_the_prompt_alone(vlm: LoadedModel, image: Path) -> None:
    empty = encode_sample(vlm, _request("", image))
    full = encode_sample(vlm, _request("A man", image))
    assert empty.prefix_length == len(empty.ids)
    assert full.ids[: full.prefix_length] == empty.ids


def test_a_base_model_gets_bos_and_caption(text: LoadedModel) -> None:
    sample = encode_sample(text, CaptionRequest("s", "i", "en", "A woman sings"))
    assert sample.ids == [
        text.tokenizer.bos_token_id,
        *text.tokenizer("A woman sings", add_special_tokens=False).input_ids,
    ]
    assert sample.prefix_length == 1
    assert sample.special == [True] + [False] * (len(sample.ids) - 1)


def test_a_base_model_continues_an_instruction_after_a_space(text: LoadedModel) -> None:
    sample = encode_sample(text, _request("A woman", None))
    assert text.tokenizer.decode(sample.ids) == "<bos>Describe the image in English. A woman"
    assert text.tokenizer.decode(sample.caption_ids).strip() == "A woman"
    assert not any(sample.special[1 : sample.prefix_length - 1]), "the instruction's words are no control tokens"


def test_a_chat_model_of_text_gets_its_turn_as_plain_text(text: LoadedModel) -> None:
    """SmolLM2's, Llama's and Qwen's templates join a turn's content to strings."""
    tokenizer = load_model(text.folder, "float32", "cpu").tokenizer
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message['role'] + ': ' + message['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}{{ ' model ' }}{% endif %}"
    )
    sample = encode_sample(replace(text, tokenizer=tokenizer), _request("A man", None))
    assert sample.text == "<bos>user: Describe the image in English. model A man"
    assert tokenizer.decode(sample.caption_ids).strip() == "A man"
    kept = [token for token, special in zip(sample.ids, sample.special, strict=True) if not special]
    assert "user" not in tokenizer.decode(kept)
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ message['role']", "{{ '<bos>' + message['role']")
    turned = encode_sample(replace(text, tokenizer=tokenizer), _request("A man", None))
    assert turned.ids == sample.ids, "one BOS, whether the template writes it or not"
    tokenizer.chat_template = tokenizer.chat_template.replace("' model '", "'<bos>model '")
    marked = encode_sample(replace(text, tokenizer=tokenizer), _request("A man", None))
    assert marked.ids.count(tokenizer.bos_token_id) == 2, "BOS as the mark of a turn, as in SmolLM2's template"
    tokenizer.chat_template = "{{ raise_exception('only with a system turn') }}"
    with pytest.raises(BadInput, match="cannot lay out a user's turn"):
        encode_sample(replace(text, tokenizer=tokenizer), _request("A man", None))


@pytest.mark.parametrize("caption", ["a <end_of_turn> b", "<start_of_image>", "x<bos>"])
def test_control_tokens_in_a_caption_are_refused(vlm: LoadedModel, image: Path, caption: str) -> None:
    with pytest.raises(UnusableText, match=r"sample s \(en\): the caption holds"):
        encode_sample(vlm, _request(caption, image))


@pytest.mark.parametrize("caption", ["a <end_of_turn> b", "<start_of_image>", "x<bos>", "<bos> y", "A man"])
def test_control_tokens_in_a_literal_caption_are_text(vlm: LoadedModel, image: Path, caption: str) -> None:
    sample = encode_sample(vlm, replace(_request(caption, image), literal=True))
    plain = encode_sample(vlm, _request("A man", image))
    assert not set(sample.caption_ids) & vlm.control_ids
    assert vlm.tokenizer.decode(sample.caption_ids).strip() == caption
    assert sample.ids[: sample.prefix_length] == plain.ids[: plain.prefix_length], (
        "the prompt's own stay control tokens"
    )
    covered = {index for span in sample.spans if span is not None for index in range(*span)}
    assert covered >= {index for index, letter in enumerate(caption) if letter.strip()}
    if caption == "A man":
        assert sample.ids == plain.ids
    assert encode_sample(vlm, _request("A man", image)).ids == plain.ids, "and the tokenizer is as it was"


def test_a_template_that_writes_bos_twice_is_refused(vlm: LoadedModel, image: Path) -> None:
    processor = load_model(vlm.folder, "float32", "cpu").processor
    processor.chat_template = "{{ bos_token }}" + TEMPLATE
    with pytest.raises(UnusableText, match="begins with 2 BOS"):
        encode_sample(replace(vlm, processor=processor), _request("A man", image))


def test_a_template_without_bos_gets_one(vlm: LoadedModel, image: Path) -> None:
    processor = load_model(vlm.folder, "float32", "cpu").processor
    processor.chat_template = TEMPLATE.removeprefix("{{ bos_token }}")
    sample = encode_sample(replace(vlm, processor=processor), _request("A man", image))
    assert sample.ids == encode_sample(vlm, _request("A man", image)).ids


@pytest.mark.parametrize(
    ("template", "told"),
    [(None, "has no chat template"), (TEMPLATE.replace("<start_of_image>", ""), "does not place one image")],
)
def test_a_template_that_places_no_image_is_told(
    template: str | None, told: str, vlm: LoadedModel, image: Path
) -> None:
    processor = load_model(vlm.folder, "float32", "cpu").processor
    processor.chat_template = template
    with pytest.raises(BadInput, match=told):
        encode_sample(replace(vlm, processor=processor), _request("A man", image))


def test_a_text_model_refuses_images(text: LoadedModel, image: Path) -> None:
    with pytest.raises(BadInput, match="takes no images"):
        encode_sample(text, _request("A man", image))
