"""Tiny random models of other families than Gemma 3, in folders: what transformers loads is found by structure."""

from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from tests.core.lm.tiny import save_random, tiny_tokenizer

TEXT_FAMILIES = ("llama", "qwen2", "qwen3", "gemma2", "gpt_neox", "gpt2", "olmo2", "glm4")
_SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
_GPT2 = {"n_embd": 32, "n_inner": 48, "n_layer": 3, "n_head": 4}
_GROUPED = {"num_key_value_heads": 2}
_WIDE = {**_GROUPED, "head_dim": 16}  # heads side by side are wider than the stream
_HEADS = {"llama": _WIDE, "qwen3": _WIDE, "gemma2": _WIDE, "qwen2": _GROUPED, "olmo2": _GROUPED, "glm4": _WIDE}


def save_family(kind: str, folder: Path, **more: float) -> Path:
    """A random decoder of `kind` with a tokenizer: 3 layers, D 32; `more` are further fields of its configuration."""
    tokenizer = tiny_tokenizer(chat=False)
    sizes = _GPT2 if kind == "gpt2" else _SIZES | _HEADS.get(kind, {})
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **sizes, **ids, **more)
    save_random(AutoModelForCausalLM.from_config(config), folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_tiny_llava(folder: Path) -> Path:
    """A random LlavaForConditionalGeneration with its processor: 3 layers, D 32, 16 image tokens, causal images."""
    tokenizer = tiny_tokenizer(chat=True)
    image = "<image_soft_token>"
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14
    )
    text = LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=1, bos_token_id=2, **_SIZES)
    token = tokenizer.convert_tokens_to_ids(image)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=token, image_seq_length=16)
    save_random(LlavaForConditionalGeneration(config), folder)
    pictures = CLIPImageProcessorPil(size={"height": 56, "width": 56}, crop_size={"height": 56, "width": 56})
    template = (
        "{{ bos_token }}{% for message in messages %}{{ 'user\n' }}{% for item in message['content'] %}"
        "{% if item['type'] == 'image' %}{{ '" + image + "\n' }}{% else %}{{ item['text'] }}{% endif %}"
        "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ '\nmodel\n' }}{% endif %}"
    )
    LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=image,
        chat_template=template,
    ).save_pretrained(folder)
    return folder
