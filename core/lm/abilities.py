"""What a model must have for its captions to be read behind a shared prompt, seen in its parts before anything runs.

What no part shows, such as attention that is not causal, is found by a trial (`core.lm.trial`).
"""

import inspect
from pathlib import Path
from typing import Any

from transformers import DynamicCache

from core.errors import BadInput
from core.lm.processors import fault


def refuse_unable(folder: Path, model: Any, tokenizer: Any) -> None:
    """Make sure that the model keeps keys and values alone, writes text, and that its tokens can be placed in a text.

    Raises:
        BadInput: it does not; everything that is missing is in the one line.
    """
    missing = [*_of_decoder(model), *_of_cache(model), *_of_tokenizer(tokenizer)]
    if missing:
        kind = getattr(model.config, "model_type", type(model).__name__)
        raise BadInput(f"model {folder} (model_type {kind!r}) cannot be read here: {'; '.join(missing)}")


def _of_decoder(model: Any) -> list[str]:
    if getattr(model.config, "is_encoder_decoder", False):
        return ["it is an encoder-decoder, in which an image or prompt is no part of the caption's sequence"]
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    if type(model.config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(model.config, "is_decoder", False):
        return ["it is a masked language model, in which a token sees those that follow it"]
    missing = []
    if getattr(model, "get_decoder", None) is None or model.get_decoder() is None:
        missing.append("it names no decoder (get_decoder)")
    if model.get_output_embeddings() is None:
        missing.append("it has no vocabulary head")
    return missing


def _of_cache(model: Any) -> list[str]:
    """Captions behind one image share its keys and values; a recurrent or convolutional state cannot be shared so."""
    if "past_key_values" not in inspect.signature(model.base_model.forward).parameters:
        return ["it keeps a state of its own in place of keys and values (recurrent)"]
    config = model.config.get_text_config(decoder=True)
    try:
        layers = DynamicCache(config=config).layers
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        return [f"transformers has no cache of keys and values for it ({type(error).__name__}: {error})"]
    # By name: a layer that reads another's keys and values (DummyLayer) is not in every version of transformers.
    plain = ("DynamicLayer", "DynamicSlidingWindowLayer", "DummyLayer")
    other = [number for number, layer in enumerate(layers) if type(layer).__name__ not in plain]
    if not other:
        return []
    kinds = getattr(config, "layer_types", None) or [type(layer).__name__ for layer in layers]
    words = ", ".join(sorted({str(kinds[number]) for number in other}))
    return [
        f"{len(other)} of its {len(layers)} layers ({words}, the first is {other[0]}) keep another state than "
        "attention's keys and values"
    ]


def _of_tokenizer(tokenizer: Any) -> list[str]:
    try:
        tokenizer("A woman sings.", add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    except (NotImplementedError, ValueError, TypeError, KeyError) as error:
        name = type(tokenizer).__name__
        return [f"its tokenizer ({name}) gives no character offsets ({fault(error)}); it needs a tokenizer.json"]
    return []
