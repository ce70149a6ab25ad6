"""A model with hook points at every site: run, read and changed by name."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.errors import BadInput
from core.lm.activation_cache import LIMIT, ActivationCache, cached
from core.lm.agreement import logits_of
from core.lm.generate import greedy
from core.lm.hook_points import Function, hooked, point_names
from core.lm.inputs import behind
from core.lm.loaded import LoadedModel
from core.lm.texts import Side, TextBatch, encode_texts, text_inputs


class LanguageModel:
    """A transformers model as a toolkit for its insides: a `LoadedModel` with names for its tensors.

    Hooks are functions of a point's tensor and a `Hook`, as in TransformerLens; what they return takes the tensor's
    place. They hold in every pass of their `with` block, those of generation and of `model` itself included, and are
    gone after it, also after an exception.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded

    @property
    def model(self) -> nn.Module:
        """transformers' own model, on whose modules the hooks stand."""
        return self.loaded.model

    @property
    def num_layers(self) -> int:
        """Blocks of the decoder."""
        return self.loaded.shape.num_layers

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.loaded.shape.d_model

    def __repr__(self) -> str:
        shape = self.loaded.shape
        return f"<model {self.loaded.folder.name}: {shape.model_type}, {shape.num_layers} layers × {shape.d_model}>"

    def names(self, *sites: str) -> list[str]:
        """Names of the hook points of some sites, or of all, in order of layers.

        Raises:
            BadInput: a site is unknown, or the model lacks its part.
        """
        return point_names(self.loaded, sites or None)

    def tokens(
        self,
        texts: Sequence[str],
        images: Sequence[str | Path] | None = None,
        instruction: str = "",
        padding: Side = "right",
    ) -> TextBatch:
        """Texts as one batch, each behind BOS, or behind an instruction and an image by the model's chat template.

        Raises:
            BadInput: the texts and images do not fit each other or the model.
        """
        paths = None if images is None else [Path(image) for image in images]
        return encode_texts(self.loaded, texts, paths, instruction, padding)

    @torch.no_grad()
    def run(self, batch: TextBatch) -> Float[Tensor, "B T V"]:
        """The logits at every position.

        Raises:
            BadInput: the model makes its logits in a way that is not known here.
        """
        states = self.loaded.base(**text_inputs(self.loaded, batch), use_cache=False).last_hidden_state
        return logits_of(self.loaded, states)

    def hooks(self, functions: Mapping[str, Function]) -> AbstractContextManager[None]:
        """Call a function at each named point, in every pass of the `with` block.

        Raises:
            BadInput: a name is no point of the model; or a function returned a tensor of another shape.
        """
        return hooked(self.loaded, functions)

    def cache(
        self, names: Sequence[str], limit: int = LIMIT, spill: str | Path | None = None
    ) -> AbstractContextManager[ActivationCache]:
        """Keep what the named points give in the passes of the `with` block, in at most `limit` bytes of memory.

        Args:
            names: hook points.
            limit: bytes; a tensor beyond them is refused, or spilled.
            spill: a folder for the tensors that do not fit; their files go with the block.

        Raises:
            BadInput: a name is no point of the model, something does not fit, or the folder is not there.
        """
        return cached(self.loaded, names, limit, None if spill is None else Path(spill))

    def run_with_cache(
        self, batch: TextBatch, names: Sequence[str], limit: int = LIMIT
    ) -> tuple[Float[Tensor, "B T V"], dict[str, Tensor]]:
        """The logits of one pass, and what the named points gave in it.

        Raises:
            BadInput: as `run` and `cache`.
        """
        with self.cache(names, limit) as kept:
            logits = self.run(batch)
            return logits, dict(kept)

    def generate(self, batch: TextBatch, max_new_tokens: int) -> list[str]:
        """Continue each row with the likeliest token until its text ends; hooks in force hold in prompt and every step.

        Raises:
            BadInput: rows are padded on the right, or nothing can be written with the model.
        """
        if self.loaded.unwritable:
            raise BadInput(f"model {self.loaded.folder}: {self.loaded.unwritable}")
        padded = not batch.real.all()
        if padded and batch.side == "right":
            raise BadInput("generate: padding stands before the tokens to come; give tokens(…, padding='left')")
        inputs = text_inputs(self.loaded, batch)
        start = batch.lengths if padded else behind(inputs["position_ids"], batch.ids.shape[1])
        rows = greedy(self.loaded, inputs, start, max_new_tokens)
        return [self.loaded.tokenizer.decode(row, skip_special_tokens=True) for row in rows]
