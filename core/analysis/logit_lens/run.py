"""From which layer on does the vocabulary head read the concept's word in the stream, before it is spoken?

The lens is read in the row before each caption's first word for the concept. Tokens are chosen in training captions,
the layer by whole curves over layers of selection images, and test images are scored there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch

from core.analysis.logit_lens import Config
from core.analysis.logit_lens.curves import COMPARISONS, Curves, compared, onsets
from core.analysis.logit_lens.findings import estimates, notes
from core.analysis.logit_lens.reading import FROZEN_READ, LENS, SAE_READ, Here, Setup, read_layer
from core.analysis.logit_lens.rows import LensRows, lens_rows, places
from core.analysis.result import Result
from core.features.associations import Labels
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.shuffles import shuffle_labels
from core.lm.loaded import LoadedModel
from core.sae.architectures import SparseAutoencoder
from core.stats.families import corrected

SHOWN = {
    "onsets": "From which layer on the right side's word is read",
    "comparisons": "Through the SAE, beside the frozen dictionary and the stream",
    "words": "Tokens whose ranks are read",
}
TOP = pl.Schema(
    {"layer": pl.UInt16, "language": pl.String, "token_id": pl.Int64, "token": pl.String}
    | dict.fromkeys(("share", "p"), pl.Float64)
)


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Read every layer asked for."""
    layers = inputs.chosen_layers(config.layers, "logit_lens")
    lens = _Lens.start(inputs, config, layers)
    for number, layer in enumerate(layers):
        lens.add(layer)
        inputs.progress(number + 1, len(layers))
    tables = lens.tables()
    told = notes(inputs, tables, lens.has_final)
    return Result(tables=tables, shown=SHOWN, notes=told, estimates=estimates(inputs, tables, config.permutations))


@dataclass
class _Lens:
    """What is gathered layer by layer; `finals` are the last layer's rows by language, NaN where it lacks one."""

    inputs: AnalysisInputs
    config: Config
    loaded: LoadedModel
    setup: Setup
    rows: list[LensRows]
    words: pl.DataFrame
    finals: Mapping[str, torch.Tensor]
    numbers: list[dict[str, Any]] = field(default_factory=list)
    curves: Curves = field(default_factory=dict)
    top: list[pl.DataFrame] = field(default_factory=list)

    @classmethod
    def start(cls, inputs: AnalysisInputs, config: Config, layers: tuple[int, ...]) -> "_Lens":
        labels = Labels.by_language(inputs.concept, inputs.samples, inputs.languages)
        images = inputs.samples["image_id"].unique(maintain_order=True).to_list()
        units = dict(zip(images, inputs.units(images).tolist(), strict=True))
        shuffled, choosing = (
            shuffle_labels(labels, split, config.permutations, inputs.seed, units).of for split in ("test", "select")
        )
        setup = Setup(config.bootstrap, inputs.seed, config.k, shuffled, choosing)
        loaded = inputs.open_model()
        last = loaded.shape.num_layers - 1
        rows, words = lens_rows(inputs.open_layer(layers[0]), inputs, config)
        finals = _finals(inputs.open_layer(last), rows) if last in inputs.layers else {}
        return cls(inputs, config, loaded, setup, rows, words, finals)

    @property
    def has_final(self) -> bool:
        """Whether the last layer is captured, so that there is something to measure KL against."""
        return bool(self.finals)

    def add(self, layer: int) -> None:
        view = self.inputs.open_layer(layer)
        saes: dict[str, SparseAutoencoder] = {SAE_READ: view.sae}
        if self.inputs.open_frozen is not None:
            saes[FROZEN_READ] = self.inputs.open_frozen(layer).sae
        for rows in self.rows:
            here = self._here(view, rows)
            found, words, top = read_layer(self.loaded, here, saes, self.setup)
            self.numbers += [{"layer": layer, **row} for row in found]
            self.top.append(top.with_columns(pl.lit(layer).alias("layer")))
            for read, scores in words.items():
                self.curves.setdefault((rows.language, read), []).append((layer, scores))

    def _here(self, view: LayerView, rows: LensRows) -> Here:
        at, final = places(view, rows), self.finals.get(rows.language)
        there = at >= 0 if final is None else (at >= 0) & ~final.isnan().any(dim=1).numpy()
        known = np.flatnonzero(there)
        return Here(rows, known, view.table.read(at[known]), None if final is None else final[torch.from_numpy(known)])

    def tables(self) -> dict[str, pl.DataFrame]:
        lens = pl.DataFrame(self.numbers, schema=LENS).fill_nan(None)
        summary = onsets(lens, self.curves)
        comparisons = compared(self.curves, self.setup, self.config.permutations)
        top = [part.select(TOP.names()).cast(TOP) for part in self.top]
        return {
            "onsets": summary,
            "comparisons": corrected(pl.DataFrame(list(comparisons), schema=COMPARISONS)),
            "words": self.words,
            "lens": lens,
            "top_tokens": pl.concat([TOP.to_frame(), *top]),
        }


def _finals(view: LayerView, rows: list[LensRows]) -> dict[str, torch.Tensor]:
    found = {}
    for own in rows:
        at = places(view, own)
        stream = view.table.read(np.maximum(at, 0)).clone()
        stream[torch.from_numpy(at < 0)] = float("nan")
        found[own.language] = stream
    return found
