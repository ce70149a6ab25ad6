"""Tiny random models of other families than Gemma 3, in folders: what transformers loads is found by structure."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Gemma2Config,
    GemmaConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    PretrainedConfig,
    Qwen2VLImageProcessorPil,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
)

from tests.core.lm.tiny import save_random, tiny_tokenizer

TEXT_FAMILIES = ("llama", "qwen2", "qwen3", "gemma2", "gpt_neox", "gpt2", "olmo2", "glm4")
_SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
_GROUPED = {"num_key_value_heads": 2}
_WIDE = {**_GROUPED, "head_dim": 16}  # heads side by side are wider than the stream
_SLIDING = {**_GROUPED, "sliding_window": 5}
_GPT2 = {"n_embd": 32, "n_inner": 48, "n_layer": 3, "n_head": 4}
_GPTJ = {**_GPT2, "rotary_dim": 4}
_EXPERTS = {**_GROUPED, "num_local_experts": 2, "num_experts_per_tok": 1}
_LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
_DEEPSEEK = {
    **_LATENT,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
_PER_LAYER = {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 600, "num_kv_shared_layers": 0}
LISTED: dict[str, dict[str, Any]] = {
    "biogpt": {},
    "bloom": {},
    "codegen": _GPTJ,
    "cohere": _GROUPED,
    "cohere2": _SLIDING,
    "deepseek_v3": _DEEPSEEK,
    "exaone4": _SLIDING,
    "falcon": {},
    "gemma2": {**_WIDE, "sliding_window": 5},
    "gemma3_text": {**_WIDE, "sliding_window": 5},
    "gemma4_text": {**_SLIDING, **_PER_LAYER, "head_dim": 8},
    "glm4": _WIDE,
    "gpt2": _GPT2,
    "gpt_neo": {
        "num_layers": 3,
        "num_heads": 4,
        "window_size": 5,
        "attention_types": [[["global", "local"], 1], [["global"], 1]],
    },
    "gpt_neox": {},
    "gpt_neox_japanese": {"intermediate_multiple_size": 2},
    "gpt_oss": {**_EXPERTS, "sliding_window": 5, "head_dim": 8},
    "gptj": _GPTJ,
    "granite": _GROUPED,
    "llama": _WIDE,
    "llama4_text": {**_EXPERTS, "head_dim": 8, "intermediate_size_mlp": 48},
    "mistral": _SLIDING,
    "mixtral": {**_EXPERTS, "sliding_window": 5},
    "mpt": {"d_model": 32, "n_layers": 3, "n_heads": 4},
    "nanochat": _GROUPED,
    "olmo2": _GROUPED,
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "phi3": _SLIDING,
    "qwen2": _GROUPED,
    "qwen3": _WIDE,
    "smollm3": _GROUPED,
    "xglm": {"d_model": 32, "ffn_dim": 48, "num_layers": 3, "attention_heads": 4},
}
"""Families of text in docs/activations.md that are tested, and what their configuration names in its own way."""
_OWN_SIZES = ("codegen", "gpt2", "gptj", "mpt", "xglm")


def save_family(kind: str, folder: Path, **more: Any) -> Path:
    """A random decoder of `kind` with a tokenizer: 3 layers, D 32; `more` are further fields of its configuration."""
    tokenizer = tiny_tokenizer(chat=False)
    sizes = ({} if kind in _OWN_SIZES else _SIZES) | LISTED.get(kind, {})
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **ids, **(sizes | more))
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


def save_tiny_paligemma(folder: Path, kind: str = "gemma") -> Path:
    """A random PaliGemma (`gemma`) or PaliGemma 2 (`gemma2`) with its processor: 3 layers, D 32, 16 image tokens."""
    tokenizer = tiny_tokenizer(chat=False)
    torch.manual_seed(0)
    pictures = SiglipImageProcessorPil(size={"height": 56, "width": 56})
    pictures.image_seq_length = 16
    processor = PaliGemmaProcessor(pictures, tokenizer)  # adds tokens for the image, places and segments
    vision = SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        vision_use_head=False,
    )
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "vocab_size": len(tokenizer)}
    sizes = {**_SIZES, **_WIDE, **ids}
    text: PretrainedConfig = GemmaConfig(**sizes) if kind == "gemma" else Gemma2Config(**sizes, sliding_window=7)
    config = PaliGemmaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=processor.image_token_id,
        projection_dim=32,
        hidden_size=32,
        vocab_size=len(tokenizer),
    )
    save_random(PaliGemmaForConditionalGeneration(config), folder)
    processor.save_pretrained(folder)
    return folder


_QWEN_VISION = {
    "qwen2_vl": {"embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2},
    "qwen2_5_vl": {"hidden_size": 16, "out_hidden_size": 32, "window_size": 28, "fullatt_block_indexes": [1]},
    "qwen3_vl": {"hidden_size": 16, "out_hidden_size": 32, "patch_size": 14, "deepstack_visual_indexes": [0, 1]},
}


def save_tiny_qwen_vl(folder: Path, kind: str = "qwen2_vl") -> Path:
    """A random Qwen2-VL, 2.5 or 3 with its processor: 3 layers, D 32; an image has 4 to 16 soft tokens by its shape."""
    tokenizer = tiny_tokenizer(chat=True)
    image, video = "<image_soft_token>", "<unk>"
    ids = tokenizer.convert_tokens_to_ids
    tokenizer.image_token, tokenizer.image_token_id = image, ids(image)
    tokenizer.video_token, tokenizer.video_token_id = video, ids(video)
    torch.manual_seed(0)
    special = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    heads = {"head_dim": 8} if kind == "qwen3_vl" else {}
    config = AutoConfig.for_model(
        kind,
        text_config={
            **_SIZES,
            **_GROUPED,
            **heads,
            **special,
            "vocab_size": len(tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
        },
        vision_config={"depth": 2, "num_heads": 2, "intermediate_size": 32, **_QWEN_VISION[kind]},
        image_token_id=ids(image),
        video_token_id=ids(video),
        vision_start_token_id=ids("<start_of_image>"),
        vision_end_token_id=ids("<end_of_image>"),
    )
    save_random(AutoModelForImageTextToText.from_config(config), folder, sharp=6)  # or positions hardly matter
    template = (
        "{% for message in messages %}{% if loop.first %}{{ '<start_of_turn>system\nHelp.<end_of_turn>\n' }}{% endif %}"
        "{{ '<start_of_turn>' + message['role'] + '\n' }}"
        "{% for item in message['content'] %}{% if item['type'] == 'image' %}"
        "{{ '<start_of_image>" + image + "<end_of_image>' }}{% else %}{{ item['text'] }}{% endif %}{% endfor %}"
        "{{ '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
    )
    # As published: the processor's parts, and its template in a file of its own.
    Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112}).save_pretrained(folder)
    tokenizer.bos_token = None
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    return folder
