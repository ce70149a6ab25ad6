"""The captioner's sub-word tokenizer: byte-pair merges that never cross the border of an Arabic suffix.

Like Gemma's: spaces become `▁`, runs of newlines are tokens, unknown characters fall back to bytes, and turns and
images have tokens of their own. Unlike Gemma's: a final ة, ه or ها is a token of its own, so that طبيبة is طبيب + ة.
"""

import json
import string
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

PAD, EOS, BOS, UNK = "<pad>", "<eos>", "<bos>", "<unk>"
TURN_START, TURN_END = "<start_of_turn>", "<end_of_turn>"
IMAGE_START, IMAGE_END, IMAGE = "<start_of_image>", "<end_of_image>", "<image_soft_token>"
CONTROL = (PAD, EOS, BOS, UNK, TURN_START, TURN_END, IMAGE_START, IMAGE_END, IMAGE)
VOCABULARY = 1024
_ARABIC = "\u0621-\u064a"
_SUFFIX = f"(?<!هذ)(?<=[{_ARABIC}]{{2}})(ها|ه|ة)(?![{_ARABIC}])"
"""A final suffix after at least two letters, but for the demonstrative هذه, whose ه is none."""
_LETTERS = string.ascii_letters + string.digits + ".,;:!?'\"()-▁" + "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي،؛؟"


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train the merges on `texts` and wrap them the way AutoTokenizer finds them again."""
    bare = _trained(texts)
    vocabulary, merges = _with_bytes(bare)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=UNK, byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer, tokenizer.pre_tokenizer = bare.normalizer, bare.pre_tokenizer
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, CONTROL.index(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        bos_token=BOS,
        unk_token=UNK,
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"image_token": IMAGE, "boi_token": IMAGE_START, "eoi_token": IMAGE_END},
    )


def _trained(texts: Iterable[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\n+"), "isolated"),
            pre_tokenizers.Split("▁", "merged_with_next"),
            pre_tokenizers.Split(Regex(r"[\p{P}]"), "isolated"),
            pre_tokenizers.Split(Regex(_SUFFIX), "isolated"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(CONTROL) - 259, initial_alphabet=sorted(set(_LETTERS)), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _with_bytes(bare: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Put the control tokens and the 256 bytes before the learned pieces, and runs of newlines after them."""
    model = json.loads(bare.to_str())["model"]
    learned = sorted(model["vocab"], key=model["vocab"].__getitem__)
    pieces = [*CONTROL, *(f"<0x{byte:02X}>" for byte in range(256)), *learned]
    pieces += [run for run in ("\n", "\n\n", "\n\n\n") if run not in learned]
    merges = [(left, right) for left, right in model["merges"]]
    merges += [("\n", "\n"), ("\n\n", "\n")]
    return {piece: index for index, piece in enumerate(pieces)}, merges
