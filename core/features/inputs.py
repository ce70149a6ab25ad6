"""What every analysis is given."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Int

from core.data.concept import Concept
from core.data.twins import unit_of_image
from core.errors import BadInput
from core.progress import Progress, silent
from core.stats.estimate import Estimate

if TYPE_CHECKING:
    from core.features.layer_view import LayerView
    from core.lm.loaded import LoadedModel
    from core.sae.architectures import SparseAutoencoder


@dataclass(frozen=True)
class AnalysisInputs:
    """What the analyses read; layers and the model are opened when asked for.

    `images` is the folder that the `image` column of `samples` is relative to, null for a study of text only;
    `truth` is what was planted, where it is known; features are ranked by
    `concept`, whose labels `samples` have. `open_frozen` opens a layer with its frozen dictionary (random decoder,
    trained encoder) in the SAE's place; null where the study trains none. `open_sibling` opens the SAE of a layer that
    was trained as its own from another seed; null where there is none.
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
    _: KW_ONLY
    concept: Concept
    open_frozen: Callable[[int], "LayerView"] | None = None
    open_sibling: "Callable[[int], SparseAutoencoder] | None" = None

    @property
    def counted(self) -> str:
        """What a number is counted over: images, or the items of a study of text only."""
        return "images" if self.images is not None else "items"

    def beside_planted(self, estimates: Iterable[Estimate], about: str, names: str = "") -> tuple[Estimate, ...]:
        """The estimates, those that answer the question with what was planted beside them, where the world is known.

        Args:
            estimates: of one analysis.
            about: which of the phrases of `Concept.world`.
            names: how the names of these estimates begin.
        """
        planted = {} if self.truth is None else self.concept.world(self.truth, self.samples)
        known = planted.get(about, "")
        return tuple(
            replace(one, planted=known) if one.answers and one.name.startswith(names) else one for one in estimates
        )

    def units(self, images: Sequence[str]) -> Int[np.ndarray, " n"]:
        """The unit that each image belongs to, as a number: an image and its twin are resampled together."""
        return np.array([self._unit_of_image[image] for image in images], dtype=np.int64)

    @cached_property
    def _unit_of_image(self) -> Mapping[str, int]:
        return unit_of_image(self.samples)

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
