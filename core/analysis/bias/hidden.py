"""Which images are asked, what groups they are of, and what their own captions say."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from core.analysis.bias import Config
from core.causal.asked_words import ASKED, ask
from core.data.attributes import attribute_columns, attributes_by_image
from core.data.concept import PlantedRates
from core.data.visible import Visible, visible_images
from core.errors import BadInput
from core.features.inputs import AnalysisInputs

DEFAULT_GROUPS = ("profession", "place")
MOST_VALUES = 500
"""Values of a column of groups at most."""
ONE_GROUP = ""
"""The column of groups where samples have none: every image is a group of its own."""
FLIPPED = "is_flipped"
"""The column that marks samples which were not drawn but made as another's counterpart: no rate holds among those."""
OF_HIDDEN, OF_ALL = "images that do not show it", "all images"
LABELLED = 0.5
"""Least share of the hidden images whose captions are on one side for their labels to be the data's rate."""


@dataclass(frozen=True)
class Hidden:
    """The images of a study that do not show the concept, their groups, and what captions say of them.

    `groups` has image_id, unit and one column per name in `columns` (text, null: none); `asked` is `ASKED` of all
    languages; `labels` has image_id, language and `label` (1: its captions are on the first side, 0: on the other, or
    their share), of the images that `labels_of` names for the language; `left_out` counts captions by language and
    reason.
    """

    inputs: AnalysisInputs
    visible: Visible
    columns: tuple[str, ...]
    groups: pl.DataFrame
    asked: pl.DataFrame
    labels: pl.DataFrame
    labels_of: Mapping[str, str]
    left_out: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def planted(self) -> PlantedRates | None:
        """What the known-answer world planted; null where the world is not known, or its groups are not asked for."""
        known = None if self.inputs.truth is None else self.inputs.concept.rates(self.inputs.truth)
        return known if known is not None and known.column in self.columns else None


def ask_hidden(inputs: AnalysisInputs, config: Config) -> Hidden:
    """Ask up to `config.images` images that do not show the concept, by seed, in every language.

    Raises:
        BadInput: samples have no such column of groups.
    """
    columns, visible = _columns(inputs, config.groups), visible_images(inputs.concept, inputs.samples, inputs.languages)
    chosen = drawn(inputs, visible.hidden, config.images)
    rows = inputs.samples.filter(pl.col("image_id").is_in(chosen))
    parts, left_out = [], Counter[tuple[str, str]]()
    for language in inputs.languages if chosen else ():
        found, reasons = ask(inputs, inputs.open_model(), rows, language)
        parts.append(found)
        left_out.update({(language, reason): count for reason, count in reasons.items()})
    labels, labels_of = _labels(inputs, visible)
    asked = pl.concat([pl.DataFrame(schema=ASKED), *parts])
    return Hidden(inputs, visible, columns, _groups(inputs, columns), asked, labels, labels_of, left_out)


def drawn(inputs: AnalysisInputs, images: Sequence[str], most: int) -> list[str]:
    """At most `most` of the images, whole units by seed, in their order."""
    units = inputs.units(images)
    order = np.random.default_rng(inputs.seed).permutation(np.unique(units))
    taken: list[int] = []
    count = 0
    for unit in order:
        size = int((units == unit).sum())
        if count + size <= most:
            taken.append(int(unit))
            count += size
    return [image for image, unit in zip(images, units, strict=True) if unit in set(taken)]


def _columns(inputs: AnalysisInputs, asked: Sequence[str]) -> tuple[str, ...]:
    known = attribute_columns(inputs.samples, MOST_VALUES)
    for name in asked:
        if name not in known:
            raise BadInput(
                f"analyses.bias.groups: samples have no column {name!r} of 2 to {MOST_VALUES} values; there are "
                f"{', '.join(known)}"
            )
    return tuple(asked) or tuple(name for name in DEFAULT_GROUPS if name in known)


def _groups(inputs: AnalysisInputs, columns: Sequence[str]) -> pl.DataFrame:
    groups = attributes_by_image(inputs.samples, columns)
    return groups.with_columns(pl.Series("unit", inputs.units(groups["image_id"].to_list())))


def _labels(inputs: AnalysisInputs, visible: Visible) -> tuple[pl.DataFrame, dict[str, str]]:
    """What the data's captions say: of the hidden images where most are labelled, else of all."""
    samples = inputs.samples
    if FLIPPED in samples.columns:
        samples = samples.filter(~pl.col(FLIPPED).fill_null(False))
    parts, labels_of = [], {}
    for language in inputs.languages:
        own = pl.col(inputs.concept.label_column(language))
        told = samples.filter(own.is_in(list(inputs.concept.sides)))
        every = told.group_by("image_id").agg((own == inputs.concept.sides[0]).cast(pl.Float64).mean().alias("label"))
        hidden = every.filter(pl.col("image_id").is_in(visible.hidden))
        asked = samples.filter(pl.col("image_id").is_in(visible.hidden))["image_id"].n_unique()
        of_hidden = bool(asked) and hidden.height >= LABELLED * asked
        labels_of[language] = OF_HIDDEN if of_hidden else OF_ALL
        chosen = (hidden if of_hidden else every).sort("image_id")
        parts.append(chosen.select("image_id", pl.lit(language).alias("language"), "label"))
    return pl.concat(parts), labels_of
