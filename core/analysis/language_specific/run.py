"""Features' profiles over two languages: on which captions they fire, how often and how strongly.

Features are classed on selection images and measured on test images, with captions in both languages. A feature that
fires on few captions looks specific by chance; runs in which an image's two captions are swapped at random show how
many do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from core.analysis.language_specific import Config
from core.analysis.language_specific.findings import findings, notes
from core.analysis.language_specific.profiles import Design, Profiles, Split, classes_of, profile_layer, schema
from core.analysis.language_specific.summary import CLASSES, class_table, summary_table
from core.analysis.result import Result
from core.errors import BadInput
from core.features.caption_rows import caption_groups, paired_captions
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.stats.families import corrected_within

SAE, FROZEN = "SAE", "frozen"
FEWEST = 10
"""Images of either split, with captions in both languages, that are needed."""
SHOWN = {"classes": "Classes of features by layer"}


def run(inputs: AnalysisInputs, config: Config) -> Result:
    """Profile the features of the layers asked for, and of their frozen dictionaries where there are some.

    Raises:
        BadInput: fewer than ten images of a split have captions in both languages.
    """
    layers = inputs.chosen_layers(config.layers, "language_specific")
    if len(inputs.languages) < 2:
        raise _too_few(0, "select")
    walk = _Walk(inputs, config, inputs.languages[:2])
    for number, layer in enumerate(layers):
        walk.add(SAE, inputs.open_layer(layer))
        if inputs.open_frozen is not None:
            walk.add(FROZEN, inputs.open_frozen(layer))
        inputs.progress(number + 1, len(layers))
    tables = walk.tables()
    found = findings(tables["summary"], walk.languages, config, len(layers), inputs.counted)
    told = notes(config, inputs.open_frozen is not None)
    return Result(metrics=_metrics(tables), tables=tables, shown=SHOWN, notes=told, estimates=found)


@dataclass
class _Walk:
    inputs: AnalysisInputs
    config: Config
    languages: Sequence[str]
    design: Design | None = None
    found: dict[str, dict[int, Profiles]] = field(default_factory=dict)

    def add(self, dictionary: str, opened: LayerView) -> None:
        every = paired_captions(opened.index, caption_groups(opened.table.tokens), self.languages)
        if self.design is None:
            select, test = (self._split(name, every.images) for name in ("select", "test"))
            self.design = Design(select, test, self.languages, self.config)
        found = profile_layer(every, self.design)
        self.found.setdefault(dictionary, {})[opened.layer] = found

    def _split(self, name: str, images: Sequence[str]) -> Split:
        of_split = set(self.inputs.samples.filter(pl.col("split") == name)["image_id"])
        own = [image for image in images if image in of_split]
        if len(own) < FEWEST:
            raise _too_few(len(own), name)
        return Split.of(own, self.inputs.units(own), self.config.swaps, self.inputs.seed)

    @property
    def images(self) -> int:
        return len(self.design.test.images) if self.design else 0

    def tables(self) -> dict[str, pl.DataFrame]:
        place = pl.Schema({"dictionary": pl.String, "layer": pl.UInt16})
        named = [
            profiles.table.select(
                pl.lit(dictionary).alias("dictionary"), pl.lit(layer, pl.UInt16).alias("layer"), pl.all()
            )
            for dictionary, layers in self.found.items()
            for layer, profiles in layers.items()
        ]
        every = pl.concat([pl.Schema({**place, **schema(self.languages)}).to_frame(), *named])
        names = classes_of(self.languages)
        classes = [class_table(dictionary, layers, names) for dictionary, layers in self.found.items()]
        return {
            "profiles": corrected_within(every, pl.col("dictionary")),
            "classes": pl.concat([CLASSES.to_frame(), *classes]),
            "summary": summary_table(self.found, names, self.images, self.inputs.seed),
        }


def _too_few(images: int, split: str) -> BadInput:
    return BadInput(
        f"analyses.language_specific: {FEWEST} images of split {split} with captions in two languages are needed, and "
        f"there are {images}; give both captions, or set it null"
    )


def _metrics(tables: dict[str, pl.DataFrame]) -> dict[str, float]:
    """Mean shares of classes over layers, of the SAEs."""
    shares = tables["classes"].filter(dictionary=SAE).group_by("class", maintain_order=True).agg(pl.col("share").mean())
    return {f"share_{name}": float(share) for name, share in shares.drop_nulls().iter_rows()}
