"""Tiny random Gemma 3 models in folders: the production classes, small enough for a test."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Gemma3TextConfig,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
IMAGE = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
CORPUS = [
    "user\n\n\nDescribe the image in English.\nmodel\n",
    "A woman is singing in a park. She holds her red book.",
    "A man is cooking in a kitchen. He holds his blue ball.",
    "امرأة تغني في حديقة وتحمل كتابها الأحمر",
    "رجل يطبخ في مطبخ ويحمل كرته الزرقاء",
    "طبيبة طبيب ممرضة ممرض",
] * 3
# Gemma 3's own template for user turns: the image's marker first, as the message says.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + message['role'] + '\n' }}"
    "{% for item in message['content'] %}"
    "{% if item['type'] == 'image' %}{{ '<start_of_image>' }}{% else %}{{ item['text'] | trim }}{% endif %}"
    "{% endfor %}{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


def tiny_tokenizer(chat: bool) -> PreTrainedTokenizerFast:
    """A byte-fallback BPE tokenizer trained on a few captions in two languages."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = [*SPECIAL, *IMAGE.values()] if chat else SPECIAL[:4]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=[*special, *byte_tokens], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    # The trainer takes byte tokens as special ones only; as such they would be control tokens.
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in special]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    roles = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    extra = {"extra_special_tokens": IMAGE, "additional_special_tokens": SPECIAL[4:]} if chat else {}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles, **extra)


def save_tiny_gemma(
    folder: Path,
    sliding_window: int = 7,
    layer_types: list[str] | None = None,
    vision_layers: int = 1,
    image_tokens: int = 16,
) -> Path:
    """A random Gemma3ForConditionalGeneration with its processor: 4 layers, D 32; 16 patches of width 16."""
    tokenizer = tiny_tokenizer(chat=True)
    torch.manual_seed(0)
    config = Gemma3Config(
        text_config=_text_config(len(tokenizer), sliding_window, layer_types),
        vision_config=SiglipVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=vision_layers,
            num_attention_heads=2,
            image_size=56,
            patch_size=14,
            vision_use_head=False,
        ),
        mm_tokens_per_image=image_tokens,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE["image_token"]),
        boi_token_index=tokenizer.convert_tokens_to_ids(IMAGE["boi_token"]),
        eoi_token_index=tokenizer.convert_tokens_to_ids(IMAGE["eoi_token"]),
    )
    save_random(Gemma3ForConditionalGeneration(config), folder)
    images = Gemma3ImageProcessorPil(size={"height": 56, "width": 56}, do_pan_and_scan=False)
    Gemma3Processor(images, tokenizer, chat_template=TEMPLATE, image_seq_length=image_tokens).save_pretrained(folder)
    return folder


def save_tiny_text_gemma(folder: Path, sliding_window: int = 7) -> Path:
    """A random Gemma3ForCausalLM with its tokenizer: 4 layers, D 32, no chat template."""
    tokenizer = tiny_tokenizer(chat=False)
    torch.manual_seed(0)
    save_random(Gemma3ForCausalLM(_text_config(len(tokenizer), sliding_window, None)), folder)
    tokenizer.save_pretrained(folder)
    return folder


def _text_config(vocab_size: int, sliding_window: int, layer_types: list[str] | None) -> Gemma3TextConfig:
    return Gemma3TextConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=sliding_window,
        layer_types=layer_types or ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )


def save_random(model: torch.nn.Module, folder: Path, sharp: float = 1.0) -> None:
    """Write the model into `folder` with random weights, large enough for a mistake to show; `sharp` times larger in
    what decides who attends to whom."""
    # Random weights of the usual 0.02 leave attention flat; larger ones make a wrong mask show.
    for name, weight in model.named_parameters():
        if weight.ndim >= 2:
            torch.nn.init.normal_(weight, std=0.15 if "embed" not in name else 0.5)
            if "q_proj" in name or "k_proj" in name:
                weight.data.mul_(sharp)
        else:
            torch.nn.init.normal_(weight, std=0.1)
    model.save_pretrained(folder)
