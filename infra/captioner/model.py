"""The captioner's architecture and processor: production's classes, at a size that two cores can train."""

import torch
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    Gemma3TextConfig,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

from infra.captioner.tokenizer import BOS, EOS, IMAGE, IMAGE_END, IMAGE_START, PAD, TURN_END

LAYERS, WIDTH = 34, 64
IMAGE_SIDE, PATCH, IMAGE_TOKENS = 96, 12, 16

CHAT_TEMPLATE = """{{ bos_token }}
{%- for message in messages %}
{%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{- '<start_of_turn>' + role + '\n' }}
{%- if message['content'] is string %}
{{- message['content'] | trim }}
{%- else %}
{%- for item in message['content'] %}
{%- if item['type'] == 'image' %}{{ '<start_of_image>' }}
{%- elif item['type'] == 'text' %}{{ item['text'] | trim }}
{%- endif %}
{%- endfor %}
{%- endif %}
{{- '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""


def build_processor(tokenizer: PreTrainedTokenizerFast) -> Gemma3Processor:
    """Join tokenizer, image preparation and chat template."""
    images = Gemma3ImageProcessorPil(
        size={"height": IMAGE_SIDE, "width": IMAGE_SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    return Gemma3Processor(images, tokenizer, chat_template=CHAT_TEMPLATE, image_seq_length=IMAGE_TOKENS)


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Gemma3ForConditionalGeneration:
    """Initialise the model; the same seed gives the same weights."""
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in (PAD, EOS, BOS, TURN_END)}
    config = Gemma3Config(
        text_config=_text_config(len(tokenizer), ids),
        vision_config=_vision_config(),
        mm_tokens_per_image=IMAGE_TOKENS,
        boi_token_index=tokenizer.convert_tokens_to_ids(IMAGE_START),
        eoi_token_index=tokenizer.convert_tokens_to_ids(IMAGE_END),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        bos_token_id=ids[BOS],
        pad_token_id=ids[PAD],
        eos_token_id=[ids[EOS], ids[TURN_END]],
        tie_word_embeddings=True,
        initializer_range=0.02,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Gemma3ForConditionalGeneration(config)
    _ready_for_depth(model, torch.Generator().manual_seed(seed))
    model.generation_config.eos_token_id = [ids[EOS], ids[TURN_END]]
    model.generation_config.pad_token_id = ids[PAD]
    model.generation_config.bos_token_id = ids[BOS]
    return model


@torch.no_grad()
def _ready_for_depth(model: Gemma3ForConditionalGeneration, generator: torch.Generator) -> None:
    """Start where 34 layers can learn at once: image and word vectors of one scale, and every layer near the identity.

    transformers starts the image projection at zero, so that the text ignores the image and the tower gets no gradient;
    and each sub-layer's closing norm at one, so that 68 of them bury the embeddings.
    """
    model.model.multi_modal_projector.mm_input_projection_weight.normal_(0, 0.1, generator=generator)
    model.get_input_embeddings().weight.normal_(0, 0.1, generator=generator)
    for layer in model.model.language_model.layers:
        layer.post_attention_layernorm.weight.fill_(-0.8)
        layer.post_feedforward_layernorm.weight.fill_(-0.8)


def _text_config(vocabulary: int, ids: dict[str, int]) -> Gemma3TextConfig:
    return Gemma3TextConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=160,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=48,
        max_position_embeddings=512,
        initializer_range=0.02,
        pad_token_id=ids[PAD],
        bos_token_id=ids[BOS],
        eos_token_id=ids[EOS],
    )


def _vision_config() -> SiglipVisionConfig:
    return SiglipVisionConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=IMAGE_SIDE,
        patch_size=PATCH,
        vision_use_head=False,
    )
