"""What every analysis is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from core.data.concept import Concept
from core.data.known_concepts import THE_CONCEPT
from core.errors import BadInput
from core.progress import Progress, silent

if TYPE_CHECKING:
    from core.features.layer_view import LayerView
    from core.lm.loaded import LoadedModel


@dataclass(frozen=True)
class AnalysisInputs:
    """What the analyses read; layers and the model are opened when asked for.

    `images` is the folder that the `image` column of `samples` is relative to, null for a study of text only;
    `truth` is what was planted, where it is known; `concept` is what features are ranked by.
    """

    samples: pl.DataFrame
    images: Path | None
    truth: Mapping[str, Any] | None
    layers: tuple[int, ...]
    languages: tuple[str, ...]
    open_layer: Callable[[int], "LayerView"]
    open_model: Callable[[], "LoadedModel"]
    instructions: Mapping[str, str]
    seed: int = 0
    progress: Progress = silent
    concept: Concept = THE_CONCEPT

    def chosen_layers(self, layers: Literal["all"] | tuple[int, ...], analysis: str) -> tuple[int, ...]:
        """The captured layers that an analysis asks for, in order.

        Raises:
            BadInput: none of the layers asked for was captured.
        """
        if layers == "all":
            return self.layers
        chosen = tuple(layer for layer in layers if layer in self.layers)
        if not chosen:
            asked = f"analyses.{analysis}.layers: none of {list(layers)}"
            raise BadInput(f"{asked} is in capture.layers {list(self.layers)}")
        return chosen
