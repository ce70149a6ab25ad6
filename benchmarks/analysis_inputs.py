"""Planted inputs of the toolkit's analyses, and what their formulas count: a part of benchmarks/analyses.py."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import torch

from core.activations.positions import position_sets
from core.analysis.causal_map.measures import EFFECTS
from core.analysis.causal_map.summary import summarise
from core.analysis.interactions.pairs import CHOSEN, SHIFTS
from core.analysis.interactions.summary import overall_table, pairs_table
from core.causal.resampling import Resampling
from core.data.concept import Concept
from core.features.coactive import network
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.sae.architectures import SparseAutoencoder
from tests.core.features.planted_world import Table, World, make_inputs
from tests.planted_words import Row, Words, open_words

WIDTH = 64
"""D, the width of the stream."""
_ACTIVE = 16
_VOCABULARY = 4096
_PAIRS, _SETS = 3, 39
_FEWER: Mapping[str, Mapping[str, Any]] = {"probes": {"draws": 100, "position_sets": ("pre-gender",)}}
"""Of an analysis that takes too long here as a whole, a part: its 1000 draws and six position sets."""


@dataclass(frozen=True)
class Size:
    """How many images, features and layers."""

    images: int
    features: int
    layers: int

    def __str__(self) -> str:
        return f"N {self.images}, F {self.features}, L {self.layers}"


@dataclass(frozen=True)
class Work:
    """An analysis's call, the bytes of its input, and the operations of its formula, asked for when it has run."""

    run: Callable[[], object]
    read: float
    flops: Callable[[], float]


def planted_sets() -> AbstractContextManager[object]:
    """Position sets are a column of the planted tokens, where they have one."""

    def sets(tokens: pl.DataFrame, samples: pl.DataFrame, concept: Concept) -> pl.Series:
        return tokens["position_set"] if "position_set" in tokens.columns else position_sets(tokens, samples, concept)

    return patch("core.features.row_groups.position_sets", sets)


def works() -> Mapping[str, Callable[[Size], Work]]:
    """What prepares each analysis's work at a size, by name."""
    planted: dict[str, Callable[[Size], Work]] = {
        "probes": partial(_planted, "probes", _gram),
        "contrast": partial(_planted, "contrast", _gram),
        "direction": partial(_planted, "direction", _gram),
        "alignment": partial(_planted, "alignment", partial(_nulls, "permutations")),
        "language_specific": partial(_planted, "language_specific", partial(_nulls, "swaps")),
        "spectra": _spectra,
        "logit_lens": _logit_lens,
        "morphology": partial(_words, "morphology"),
        "semantics": partial(_words, "semantics"),
        "interactions": _interactions,
        "causal_map": _causal_map,
    }
    return planted


@cache
def _inputs(size: Size) -> AnalysisInputs:
    world = World(size.images, size.layers, WIDTH, size.features, k=_ACTIVE, born=0)
    inputs = make_inputs(world)
    views = {layer: _view(inputs.open_layer(layer)) for layer in inputs.layers}
    return replace(inputs, open_layer=views.__getitem__)


def _view(view: LayerView) -> LayerView:
    """The layer with a dictionary that can encode, and rows that know where they come from."""
    sae = SparseAutoencoder(WIDTH, view.index.num_features, _ACTIVE)
    sae.W_dec.data, sae.W_enc.data = view.sae.W_dec.clone(), view.sae.W_dec.T.clone()
    sae.b_dec.data = view.sae.b_dec.clone()
    tokens = view.table.tokens.with_columns(pl.col("index").alias("origin"))
    table: Any = Table(tokens, view.table.block(0, len(view.table)).numpy())
    return replace(view, table=table, sae=sae)


def _analysis(name: str, **settings: Any) -> tuple[Callable[[AnalysisInputs, Any], object], Any]:
    module = import_module(f"core.analysis.{name}")
    return import_module(f"core.analysis.{name}.run").run, module.Config(**settings)


def _bytes(inputs: AnalysisInputs) -> float:
    """Rows in float32, and a value and a feature's number per active feature."""
    views = [inputs.open_layer(layer) for layer in inputs.layers]
    return float(sum(4 * len(view.table) * view.table.d_model + 8 * view.index.csr(0, None)[1].size for view in views))  # type: ignore[arg-type]


def _planted(name: str, flops: Callable[[AnalysisInputs, Any], float], size: Size) -> Work:
    inputs, (run, config) = _inputs(size), _analysis(name, **_FEWER.get(name, {}))
    return Work(partial(run, inputs, config), _bytes(inputs), partial(flops, inputs, config))


def _gram(inputs: AnalysisInputs, config: Any) -> float:
    """Products of the rows' columns with each other, once a layer."""
    return sum(2.0 * len(inputs.open_layer(layer).table) * WIDTH**2 for layer in inputs.layers)


def _nulls(field: str, inputs: AnalysisInputs, config: Any) -> float:
    """Each feature's sum over the test images (a quarter), once per draw."""
    features = sum(inputs.open_layer(layer).index.num_features for layer in inputs.layers)
    return 2.0 * (1 + getattr(config, field)) * inputs.samples.height / 4 * features


def _spectra(size: Size) -> Work:
    """Products of the decoder's columns with each other, for the SAE and for each random matrix beside it."""
    inputs, (run, config) = _inputs(size), _analysis("spectra", heads=False)
    once = 2.0 * size.features * WIDTH**2
    return Work(partial(run, inputs, config), size.layers * 8.0 * size.features * WIDTH, lambda: once * size.layers)


def _logit_lens(size: Size) -> Work:
    """Every row through a vocabulary of 4,096 words, once a reading: counted where it happens."""
    words, rows = torch.randn(WIDTH, _VOCABULARY, generator=torch.Generator().manual_seed(3)), [0]
    names = SimpleNamespace(convert_ids_to_tokens=lambda ids: [f"t{one}" for one in ids])
    shape, device = SimpleNamespace(num_layers=size.layers), torch.device("cpu")
    model: Any = SimpleNamespace(unembedding=words.T, shape=shape, device=device, tokenizer=names)
    inputs, (run, config) = replace(_inputs(size), open_model=lambda: model), _analysis("logit_lens")

    def logits(loaded: object, stream: torch.Tensor) -> torch.Tensor:
        rows[0] += len(stream)
        return stream @ words

    def call() -> None:
        with patch("core.lm.lens.lens_logits", logits):
            run(inputs, config)

    return Work(call, _bytes(inputs), lambda: 2.0 * rows[0] * WIDTH * _VOCABULARY)


def _form(row: Row) -> float:
    return float(row.form is not None and row.form.form == "female") if row.language == "ar" else float(row.female)


@cache
def _captions(size: Size) -> AnalysisInputs:
    planted = {0: _form, 1: lambda row: float(row.female)}
    inputs = open_words(Words(size.images, size.features, parted=True, planted=planted))
    view = inputs.open_layer(3)
    views = {layer: replace(view, layer=layer) for layer in range(size.layers)}
    return replace(inputs, layers=tuple(views), open_layer=views.__getitem__)


def _words(name: str, size: Size) -> Work:
    """The chosen features' values on the test images (half), once per draw."""
    inputs, (run, config) = _captions(size), _analysis(name)
    flops = 2.0 * config.draws * config.features * size.images / 2 * size.layers
    active = sum(inputs.open_layer(layer).index.csr(0, None)[1].size for layer in inputs.layers)  # type: ignore[arg-type]
    return Work(partial(run, inputs, config), 8.0 * active, lambda: flops)


def _interactions(size: Size) -> Work:
    """Co-activation of 24 features in each layer, and the pairs' tables: not the model's passes."""
    inputs = _inputs(size)
    shifts = _shifts(inputs.samples["image_id"].to_list())

    def call() -> None:
        drawn = Resampling(inputs, 1000)
        for layer in inputs.layers:
            view = inputs.open_layer(layer)
            network(view.index, view.table.tokens, tuple(range(24)))
            pairs_table(shifts, layer, drawn), overall_table(shifts, layer, drawn)

    draws = 2.0 * 1000 * size.images * (_PAIRS + 1) * size.layers
    return Work(call, _bytes(inputs), lambda: draws)


def _shifts(images: Sequence[str]) -> pl.DataFrame:
    """Three pairs of the chosen features and of each random set, with noise for an interaction."""
    random, rows = np.random.default_rng(0), []
    for number in range(CHOSEN, _SETS):
        for place in range(_PAIRS):
            first = 4 * (number + 1)
            pair = ("en", number, place, first, first + 1 + place)
            rows += [(*pair, image, 0.5, 0.25, 0.75 + value, value) for image, value in _noise(images, random)]
    return pl.DataFrame(rows, schema=SHIFTS, orient="row")


def _noise(images: Sequence[str], random: np.random.Generator) -> Iterator[tuple[str, float]]:
    return zip(images, random.standard_normal(len(images)).tolist(), strict=True)


def _causal_map(size: Size) -> Work:
    """The map's cells (four position sets, two donors) in each layer, tested by units: not the model's passes."""
    inputs, random = _inputs(size), np.random.default_rng(0)
    images = inputs.samples["image_id"].to_list()
    rows = [
        (layer, "en", "first-gendered", positions, donor, image, value)
        for layer in inputs.layers
        for positions in ("image", "last-prompt", "pre-gender", "every position")
        for donor in ("twin", "same gender")
        for image, value in _noise(images, random)
    ]
    effects = pl.DataFrame(rows, schema=EFFECTS, orient="row")

    def call() -> None:
        summarise(effects, {("first-gendered", "en"): Resampling(inputs, 4000)})

    return Work(call, float(effects.estimated_size()), lambda: 2.0 * 2 * 4000 * size.images * 4 * size.layers)
