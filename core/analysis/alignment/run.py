"""The two languages over the same images: features that fire alike, and the features that each has for gender.

Captions of two images of one profession and one gender say nearly the same, so pairs are shuffled among these: what is
left is what the image itself adds. The features that differ most between genders are compared with those that differ
most between random halves of the images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from core.analysis.alignment import Config
from core.analysis.alignment.ceiling import seed_ceiling
from core.analysis.alignment.concept_features import Firsts
from core.analysis.alignment.design import Design, make_design
from core.analysis.alignment.findings import findings, notes
from core.analysis.alignment.layer import GENDER, Compared, compare_features, compare_streams
from core.analysis.alignment.same_image import FEATURES
from core.analysis.alignment.summary import Found, layer_table, summary_table
from core.analysis.result import Result
from core.errors import BadInput
from core.features.caption_rows import caption_groups, pair
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.row_groups import sum_features
from core.stats.families import corrected_within
from core.stats.similarity import cka

SAE, FROZEN, STREAM = "SAE", "frozen", "stream"
_PLACE = pl.Schema({"dictionary": pl.String, "layer": pl.UInt16})
FEWEST = 10
"""Test images with captions in both languages that are needed."""
SHOWN = {"summary": "Measures over all layers"}


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Compare the languages in the layers asked for.

    Raises:
        BadInput: fewer than ten test images have captions in both languages.
    """
    layers = inputs.chosen_layers(config.layers, "alignment")
    if len(inputs.languages) < 2:
        raise _too_few(0)
    walk = _Walk(inputs, config)
    for number, layer in enumerate(layers):
        walk.add(inputs.open_layer(layer), SAE)
        if inputs.open_frozen is not None:
            walk.add(inputs.open_frozen(layer), FROZEN)
        inputs.progress(number + 1, len(layers))
    tables = walk.tables()
    design = walk.known
    firsts = walk.firsts
    top = max((one.top for one in firsts if one), default=0)
    found = findings(tables["summary"], design, top, inputs.counted)
    told = notes(design, firsts, inputs.open_frozen is not None, bool(walk.ceilings))
    return Result(metrics=_metrics(tables["summary"]), tables=tables, shown=SHOWN, notes=told, estimates=found)


@dataclass
class _Walk:
    inputs: AnalysisInputs
    config: Config
    design: Design | None = None
    found: dict[str, dict[int, Compared]] = field(default_factory=dict)
    ceilings: dict[int, Mapping[str, float]] = field(default_factory=dict)

    @property
    def known(self) -> Design:
        assert self.design is not None, "no layer was added"
        return self.design

    @property
    def firsts(self) -> list[Firsts | None]:
        """The SAEs' first features, by layer."""
        return [one.firsts for one in self.found[SAE].values()]

    def add(self, opened: LayerView, dictionary: str) -> None:
        groups = caption_groups(opened.table.tokens)
        captions = pair(sum_features(opened.index, groups), self.inputs.languages[:2])
        if self.design is None:
            self.design = self._design(captions.images)
        seed = self.inputs.seed
        own = compare_features(opened, captions, self.design, self.config, seed)
        self.found.setdefault(dictionary, {})[opened.layer] = own
        if dictionary == SAE:
            self.found.setdefault(STREAM, {})[opened.layer] = compare_streams(opened, groups, self.design)
        if dictionary == SAE and self.inputs.open_sibling is not None:
            sibling = self.inputs.open_sibling(opened.layer)
            self.ceilings[opened.layer] = seed_ceiling(opened, sibling, captions, self.design, own)

    def _design(self, images: Sequence[str]) -> Design:
        test = set(self.inputs.samples.filter(pl.col("split") == "test")["image_id"])
        if (count := sum(image in test for image in images)) < FEWEST:
            raise _too_few(count)
        return make_design(self.inputs, images, self.config.images, self.config.permutations)

    def tables(self) -> dict[str, pl.DataFrame]:
        measured = {
            dictionary: {layer: one.measures for layer, one in layers.items()}
            for dictionary, layers in self.found.items()
        }
        found = Found(measured, self.ceilings)
        features = self._stacked("features", FEATURES)
        return {
            "layers": layer_table(found),
            "summary": summary_table(found, len(self.known.images), self.inputs.seed),
            "map": self._map(),
            "features": corrected_within(features, pl.col("dictionary")),
            "gender": self._stacked("gender", GENDER),
        }

    def _stacked(self, name: str, schema: pl.Schema) -> pl.DataFrame:
        parts = [pl.Schema({**_PLACE, **schema}).to_frame()]
        for dictionary in (SAE, FROZEN):
            for layer, one in self.found.get(dictionary, {}).items():
                here = (pl.lit(dictionary).alias("dictionary"), pl.lit(layer, pl.UInt16).alias("layer"))
                parts.append(getattr(one, name).select(*here, pl.all()))
        return pl.concat(parts)

    def _map(self) -> pl.DataFrame:
        """CKA of every layer on first captions with every layer on second ones."""
        geometries = {layer: one.geometry for layer, one in self.found[STREAM].items() if one.geometry is not None}
        layers = list(geometries)
        matrix = cka([one.first for one in geometries.values()] + [one.second for one in geometries.values()])
        one, other = self.inputs.languages[:2]
        columns = {
            f"layer_{one}": np.repeat(layers, len(layers)),
            f"layer_{other}": np.tile(layers, len(layers)),
            "cka": matrix[: len(layers), len(layers) :].ravel(),
        }
        kinds = pl.Schema({f"layer_{one}": pl.UInt16, f"layer_{other}": pl.UInt16, "cka": pl.Float64})
        return pl.DataFrame(columns).cast(kinds)


def _too_few(images: int) -> BadInput:
    return BadInput(
        f"analyses.alignment: {FEWEST} test images with captions in two languages are needed, and there are {images}; "
        "give both captions, or set it null"
    )


def _metrics(summary: pl.DataFrame) -> dict[str, float]:
    known = summary.filter(pl.col("value").is_finite() & ~pl.col("measure").str.ends_with("frozen"))
    return {str(name): float(value) for name, value in known.select("measure", "value").iter_rows()}
