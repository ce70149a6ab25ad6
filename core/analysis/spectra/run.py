"""On how many directions do the weights of dictionaries and attention heads act?

Products of weights are never formed. A matrix's effective rank is set beside those of random matrices of its shape,
and a dictionary's beside that of the frozen dictionary of its layer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from core.analysis.result import Result
from core.analysis.spectra import Config
from core.analysis.spectra.findings import FROZEN_OF, beside_frozen, estimates, notes, summary
from core.analysis.spectra.spectrum import OV, SHARES, Null, RandomSpectra, Spectrum, dictionary_matrices
from core.errors import BadInput
from core.features.inputs import AnalysisInputs
from core.lm.circuits import heads, ov_circuit
from core.lm.loaded import LoadedModel

SAE_OF, MODEL_OF = "SAE", "attention heads"
_KEYS: dict[str, Any] = {"layer": pl.UInt16, "of": pl.String, "matrix": pl.String, "head": pl.UInt16}
SPECTRA = pl.Schema(
    {
        **_KEYS,
        **dict.fromkeys(("rows", "columns", "rank"), pl.UInt32),
        **dict.fromkeys(("effective_rank", "entropy", *(f"pca_{number}" for number in SHARES)), pl.Float64),
        **dict.fromkeys(("random", "random_low", "random_high"), pl.Float64),
        "draws": pl.UInt32,
        "p": pl.Float64,
    }
)
"""One row a matrix; `head` is null but for heads."""
COMPONENTS = pl.Schema(
    {**_KEYS, "component": pl.UInt16, **dict.fromkeys(("share", "cumulative"), pl.Float64)},
)
SHOWN = {"summary": "Effective rank over layers", "beside_frozen": "Effective rank beside the frozen dictionary's"}


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Read the weights of every layer asked for."""
    found = _Spectra(inputs, config)
    layers = inputs.chosen_layers(config.layers, "spectra")
    for number, layer in enumerate(layers):
        found.add(layer)
        inputs.progress(number + 1, len(layers))
    tables = found.tables()
    estimated = estimates(tables)
    return Result(
        tables=tables, shown=SHOWN, notes=notes(inputs, tables["summary"], found.refused), estimates=estimated
    )


@dataclass
class _Spectra:
    """What is gathered layer by layer; `refused` says why no heads were read."""

    inputs: AnalysisInputs
    config: Config
    refused: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    shares: list[pl.DataFrame] = field(default_factory=list)
    nulls: dict[tuple[str, str], Null] = field(default_factory=dict)

    @cached_property
    def random(self) -> RandomSpectra:
        return RandomSpectra(self.config.draws, self.inputs.seed)

    @cached_property
    def model(self) -> LoadedModel:
        return self.inputs.open_model()

    def add(self, layer: int) -> None:
        opened = [(SAE_OF, self.inputs.open_layer(layer))]
        if self.inputs.open_frozen is not None:
            opened.append((FROZEN_OF, self.inputs.open_frozen(layer)))
        for of, view in opened:
            null = self.random.dictionary(view.sae.num_features, view.sae.d_out)
            for matrix, product in dictionary_matrices(view.sae):
                keys = {"layer": layer, "of": of, "matrix": matrix, "head": None}
                self._keep(keys, Spectrum.of(product, self.config.components), null[matrix])
        for head, spectrum, own in self._heads(layer):
            self._keep({"layer": layer, "of": MODEL_OF, "matrix": OV, "head": head}, spectrum, own)

    def _heads(self, layer: int) -> Iterator[tuple[int, Spectrum, Null]]:
        if not self.config.heads or self.refused:
            return
        try:
            inner = heads(self.model, layer).W_O.shape[1]
        except BadInput as error:
            self.refused = str(error)
            return
        circuit = ov_circuit(self.model, layer)
        null = self.random.head(circuit.shape[-1], inner)
        for head in range(circuit.shape[0]):
            yield head, Spectrum.of(circuit[head], self.config.components), null

    def _keep(self, keys: dict[str, Any], spectrum: Spectrum, null: Null) -> None:
        self.nulls[keys["of"], keys["matrix"]] = null
        numbers = {name: value for name, value in spectrum._asdict().items() if name != "shares"}
        pca = {f"pca_{number}": spectrum.share(number) for number in SHARES}
        self.rows.append({**keys, **numbers, **pca, **null.row, "p": null.p(spectrum.effective_rank)})
        kept = pl.DataFrame({"share": spectrum.shares}).with_row_index("component", offset=1)
        named = [pl.lit(value, dtype=_KEYS[name]).alias(name) for name, value in keys.items()]
        self.shares.append(kept.with_columns(*named, pl.col("share").cum_sum().alias("cumulative")))

    def tables(self) -> dict[str, pl.DataFrame]:
        spectra = pl.DataFrame(self.rows, schema=SPECTRA)
        components = pl.concat(self.shares).select(COMPONENTS.names()).cast(COMPONENTS)
        return {
            "summary": summary(spectra, self.nulls, self.inputs.seed),
            "beside_frozen": beside_frozen(spectra, self.inputs.seed),
            "spectra": spectra,
            "components": components,
        }
