"""What a label can be read off at a layer, one row per image: the stream, features, the frozen dictionary's, and random
directions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.row_groups import stream_means
from core.stats.estimate import Estimate

STREAM_READ, SAE_READ, FROZEN_READ, RANDOM_READ = "stream", "SAE", "frozen dictionary", "random directions"
READ = (STREAM_READ, SAE_READ, FROZEN_READ, RANDOM_READ)
"""What labels are read off, in the order of tables and figures."""
_PORTION = 2048


@dataclass(frozen=True)
class Rows:
    """One row per image in one language and position set: `x` by what labels are read off, and each row's last word."""

    images: list[str]
    words: Int[np.ndarray, " N"]
    x: Mapping[str, Float[np.ndarray, "N D"]]


@dataclass(frozen=True)
class LayerReadings:
    """One layer, with its frozen dictionary where there is one."""

    view: LayerView
    frozen: LayerView | None
    seed: int

    @classmethod
    def open(cls, inputs: AnalysisInputs, layer: int) -> "LayerReadings":
        """The layer and, where the study trains them, its frozen dictionary."""
        frozen = inputs.open_frozen(layer) if inputs.open_frozen is not None else None
        return cls(inputs.open_layer(layer), frozen, inputs.seed)

    def rows(self, language: str, position_set: str, read: Sequence[str] = READ) -> Rows:
        """What labels are read off there; `read` names what is asked for."""
        place = (language, position_set)
        images, stream = stream_means(self.view.stream_sums, self.view.groups, *place)
        x = {STREAM_READ: stream, SAE_READ: self.view.feature_sums.by_image(*place).means}
        if self.frozen is not None:
            x[FROZEN_READ] = self.frozen.feature_sums.by_image(*place).means
        if RANDOM_READ in read:  # as many numbers as the features, drawn and multiplied
            x[RANDOM_READ] = self._projected(stream)
        return Rows(images, self.view.groups.words(*place), {name: x[name] for name in read if name in x})

    def _projected(self, stream: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N F"]:
        """Rows along as many random unit directions as the SAE has features."""
        rng, features = np.random.default_rng([self.seed, self.view.layer]), self.view.sae.num_features
        parts = []
        for start in range(0, features, _PORTION):
            drawn = rng.standard_normal((stream.shape[1], min(_PORTION, features - start)), dtype=np.float32)
            parts.append(stream @ (drawn / np.linalg.norm(drawn, axis=0)))
        return np.concatenate(parts, axis=1)


def disagreements(found: Iterable[Estimate]) -> Iterator[str]:
    """A warning for each place where the comparison with the frozen dictionary, an estimate `beyond_frozen.kK.PLACE`,
    comes out differently at the numbers of features K."""
    by_place: dict[str, dict[str, str]] = {}
    for one in found:
        kind, _, rest = one.name.partition(".")
        if kind == "beyond_frozen":
            k, _, place = rest.partition(".")
            by_place.setdefault(place, {})[k] = one.verdict
    for place, verdicts in by_place.items():
        if len(set(verdicts.values())) > 1:
            told = ", ".join(f"{verdict} with {k}" for k, verdict in verdicts.items())
            yield f"Against the frozen dictionary the number of features decides: {place.replace('.', ', ')}: {told}."
