"""What is probed at one layer: which labels, of which rows, read off what."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.activations.items import ITEM
from core.activations.stream_rows import SHARED
from core.analysis.probes import Config
from core.data.attributes import attribute_columns, attributes_by_image
from core.data.concept import OTHER
from core.errors import BadInput
from core.features.associations import Labels
from core.features.inputs import AnalysisInputs
from core.features.readings import LayerReadings, Rows
from core.features.row_groups import RowGroups
from core.stats.probe_task import ProbeTask


class Cell(NamedTuple):
    """A curve over layers: a label, in one language and position set."""

    label: str
    language: str
    position_set: str


@dataclass(frozen=True)
class Question:
    """What is asked of every layer: `values` [label][language][image] is the label of an image, `split` and `unit`
    where an image stands and what it belongs to."""

    values: Mapping[str, Mapping[str, Mapping[str, str]]]
    split: Mapping[str, str]
    unit: Mapping[str, int]
    languages: tuple[str, ...]
    position_sets: tuple[str, ...]
    seed: int

    @classmethod
    def of(cls, inputs: AnalysisInputs, config: Config) -> "Question":
        """Read the labels of the images.

        Raises:
            BadInput: a column or position set is none of the study's.
        """
        names = dict.fromkeys(config.columns or (inputs.concept.name,))
        own = [name for name in names if name != inputs.concept.name]
        known = attribute_columns(inputs.samples)
        if wrong := [name for name in own if name not in known]:
            there = ", ".join([inputs.concept.name, *known])
            raise BadInput(f"analyses.probes.columns: the samples have no labels {wrong[0]!r}; there are {there}")
        sets = (*inputs.concept.position_sets[:-1], ITEM)
        if strange := [name for name in config.position_sets if name not in sets]:
            there = ", ".join(sets)
            raise BadInput(f"analyses.probes.position_sets: {strange[0]!r} is no position set; there are {there}")
        images = inputs.samples.unique("image_id", maintain_order=True)
        split = dict(images.select("image_id", "split").iter_rows())
        unit = dict(zip(split, inputs.units(list(split)).tolist(), strict=True))
        values = {name: _of_column(inputs, name) if name in own else _of_concept(inputs) for name in names}
        chosen = config.position_sets or inputs.concept.decision_sets
        return cls(values, split, unit, inputs.languages, chosen, inputs.seed)

    def cells(self, groups: RowGroups) -> Iterator[Cell]:
        """The curves that a layer with these rows has a point of; where the chosen sets are empty, all but *other*."""
        there = [name for name in groups.table["position_set"].unique().sort() if name != OTHER]
        chosen = [name for name in self.position_sets if name in there] or there
        for position_set in chosen:
            for language in groups.languages(position_set, self.languages):
                for label in self.values:
                    yield Cell(label, language, position_set)


def _of_concept(inputs: AnalysisInputs) -> dict[str, dict[str, str]]:
    found = {}
    for language, labels in Labels.by_language(inputs.concept, inputs.samples, inputs.languages).items():
        known = labels.table.filter(pl.col("positive").is_not_null()).select("image_id", "positive")
        one, other = labels.sides
        found[language] = {image: one if positive else other for image, positive in known.iter_rows()}
    return found


def _of_column(inputs: AnalysisInputs, name: str) -> dict[str, dict[str, str]]:
    values = dict(attributes_by_image(inputs.samples, [name]).drop_nulls(name).iter_rows())
    return dict.fromkeys((*inputs.languages, SHARED), values)


@dataclass(frozen=True)
class Asked:
    """The images of a cell that have a label: their rows among all, labels, units and splits."""

    rows: Int[np.ndarray, " n"]
    labels: list[str]
    units: Int[np.ndarray, " n"]
    split: np.ndarray
    words: Int[np.ndarray, " n"]

    def task(self, x: Float[np.ndarray, "N D"]) -> ProbeTask:
        """What a probe is fitted on and scored on: rows of train and test images."""
        known = np.flatnonzero(self.split != "select")
        labels, split = [self.labels[row] for row in known], self.split[known].tolist()
        units, words = self.units[known].tolist(), self.words[known].tolist()
        return ProbeTask(x[self.rows[known]], labels, units, words, split)

    def of(self, split: str, x: Float[np.ndarray, "N D"]) -> tuple[np.ndarray, list[str], np.ndarray]:
        """The rows of a split, their labels and units."""
        known = np.flatnonzero(self.split == split)
        return x[self.rows[known]].astype(np.float64), [self.labels[row] for row in known], self.units[known]


@dataclass(frozen=True)
class Opened:
    """One layer's readings, and what is asked of them."""

    readings: LayerReadings
    question: Question

    def asked(self, cell: Cell, rows: Rows) -> Asked:
        """The images that have a label."""
        labels = self.question.values[cell.label][cell.language]
        known = np.array([row for row, image in enumerate(rows.images) if image in labels], dtype=np.int64)
        images = [rows.images[row] for row in known]
        split = np.array([self.question.split[image] for image in images], dtype=object)
        units = np.array([self.question.unit[image] for image in images], dtype=np.int64)
        return Asked(known, [labels[image] for image in images], units, split, rows.words[known])
