"""Two studies, variants or layers side by side: the settings that differ, and what was measured in both."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from core.errors import BadInput
from core.reading.made import AskedOf
from core.reading.records import open_by_name
from core.reading.study import OpenedStudy
from core.reading.verdicts import Answered, Estimates, answered
from core.stats.estimate import Estimate
from core.store.workspace import Workspace, meant
from core.study.variant import settings

SAE = "sae"
"""What stands for an analysis in the rows that describe SAEs."""
_SAE_METRICS = {
    "held_out_fvu": "fraction of variance unexplained on selection rows",
    "held_out_l0": "active features per selection row",
    "dead_fraction": "share of features that never fire",
}


@dataclass(frozen=True)
class Side:
    """What is compared: a study or variant, or one of its layers."""

    study: OpenedStudy
    layer: int | None = None

    @property
    def title(self) -> str:
        """The study's title, with the layer."""
        own = self.layer is None or self.study.of_layer is not None
        return self.study.title if own else f"{self.study.title} · layer {self.layer}"


@dataclass(frozen=True)
class Value:
    """One measurement: with its interval and verdict, where it is an estimate's."""

    value: float
    low: float | None = None
    high: float | None = None
    verdict: str = "not tested"


@dataclass(frozen=True)
class Row:
    """One quantity on both sides; null where a side has not measured it. `answers`: one of the headline estimates.
    `concept` names what it was asked about; it is empty for a quantity of the SAEs."""

    analysis: str
    name: str
    quantity: str
    unit: str
    answers: bool
    left: Value | None
    right: Value | None
    concept: str = ""

    @property
    def overlap(self) -> bool | None:
        """Whether the two intervals overlap; null where a side has none."""
        ends = [end for one in (self.left, self.right) if one for end in (one.low, one.high) if end is not None]
        if len(ends) < 4:
            return None
        return ends[0] <= ends[3] and ends[2] <= ends[1]


@dataclass(frozen=True)
class Comparison:
    """Two sides; `settings` are the fields that differ, with both values; a field that a side lacks is null there.
    `answers` are the verdicts on each question by language."""

    left: Side
    right: Side
    settings: Mapping[str, tuple[Any, Any]]
    rows: tuple[Row, ...]
    answers: tuple[Answered, ...]

    @property
    def concepts(self) -> tuple[str, ...]:
        """The names of the concepts that the two sides asked about, sorted."""
        return tuple(sorted({row.concept for row in self.rows if row.concept}))

    @property
    def same_settings_other_results(self) -> bool:
        """Whether no setting differs and artefacts do: other data or weights at the same place, or other code.

        The report is another wherever the name is.
        """
        sides = (self.left, self.right)
        whole = all(side.layer is None for side in sides)
        made = [set(side.study.artifacts) - {side.study.report_artifact} for side in sides]
        return whole and not self.settings and made[0] != made[1]


def open_side(workspace: Workspace, asked: str) -> Side:
    """The study or variant that `asked` names, or with `:17` at its end that layer of it.

    Raises:
        BadInput: no such study has run here, or the layer is not there.
    """
    name, colon, layer = asked.rpartition(":")
    if not (colon and layer.isdecimal()) or meant(workspace.records(), asked):
        study = open_by_name(workspace, asked)
        return Side(study, study.of_layer)
    study = open_by_name(workspace, name)
    if int(layer) not in study.layers:
        there = ", ".join(map(str, study.layers)) or "none"
        raise BadInput(f"{asked}: layer {layer} of {study.title} is not there (there are {there})")
    return Side(study, int(layer))


def compare(left: Side, right: Side) -> Comparison:
    """Join what both sides measured on analysis, concept and estimate name. Estimates that answer their question come
    first.

    Raises:
        BadInput: a file of one of them is damaged.
    """
    both = [settings(side.study.config) for side in (left, right)]
    fields = dict.fromkeys([*both[0], *both[1]])
    differ = {field: (both[0].get(field), both[1].get(field)) for field in fields}
    found = {field: values for field, values in differ.items() if values[0] != values[1]}
    sides = _estimates(left), _estimates(right)
    rows = (*_sae_rows(left, right), *_rows(*sides))
    return Comparison(left, right, found, rows, tuple(answered(*sides, _questions(left, right))))


def _questions(left: Side, right: Side) -> dict[AskedOf, str]:
    """What was asked; where the sides word it differently, as the left one has it."""
    studies = [study for side in (right, left) for study in _sources(side)]
    return {asked: question for study in studies for asked, question in study.questions().items() if question}


def _rows(*sides: Estimates) -> Iterator[Row]:
    names = dict.fromkeys([*sides[0], *sides[1]])
    for answers in (True, False):
        for key in names:
            one, other = (side.get(key) for side in sides)
            known = one or other
            assert known is not None
            if known.answers is answers:
                asked, name = key
                values = _value(one), _value(other)
                yield Row(asked.analysis, name, known.quantity, known.unit, answers, *values, asked.concept)


def _value(one: Estimate | None) -> Value | None:
    if one is None:
        return None
    low, high = one.interval or (None, None)
    return Value(one.value, low, high, one.verdict)


def _sae_rows(left: Side, right: Side) -> Iterator[Row]:
    sides = [_sae(side) for side in (left, right)]
    of_all = "" if left.layer is not None or right.layer is not None else ", median of layers"
    for name, quantity in _SAE_METRICS.items():
        one, other = (Value(side[name]) if name in side else None for side in sides)
        if one or other:
            yield Row(SAE, name, quantity + of_all, "", True, one, other)


def _sae(side: Side) -> dict[str, float]:
    """The metrics of the layer's SAE, or their medians over layers."""
    by_layer = side.study.sae_metrics()
    metrics = list(by_layer.values()) if side.layer is None else [by_layer.get(side.layer, {})]
    found = {name: [one[name] for one in metrics if one.get(name) is not None] for name in _SAE_METRICS}
    return {name: median(values) for name, values in found.items() if values}


def _estimates(side: Side) -> Estimates:
    """By analysis and concept, and by name. Of a layer: its own estimates, without its number in their names; what the
    layer's own report measured comes before what the study did."""
    if side.layer is None:
        return _by_name(side.study)
    layer = side.layer
    return {
        (asked, _without(layer, name)): one
        for source in _sources(side)
        for (asked, name), one in _by_name(source).items()
        if one.layer == layer
    }


def _sources(side: Side) -> list[OpenedStudy]:
    """The study, and where one of its layers is meant the layer's own report."""
    own = side.layer is not None and side.study.of_layer is None
    return [side.study, *(_own_report(side) if own else ())]


def _by_name(study: OpenedStudy) -> dict[tuple[AskedOf, str], Estimate]:
    asked = study.asked()
    return {(asked[name], one.name): one for name, found in study.found().items() for one in found}


def _own_report(side: Side) -> Iterator[OpenedStudy]:
    workspace, title = side.study.workspace, side.title
    if meant(workspace.records(), title):
        yield open_by_name(workspace, title)


def _without(layer: int, name: str) -> str:
    return ".".join("layer" if part in (str(layer), f"layer{layer}") else part for part in name.split("."))
