"""A number that an analysis found, with all that a sentence about it needs: interval, control, p, unit and source."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import polars as pl

from core.stats.families import ALPHA

Verdict = Literal["found", "weak", "not found", "not tested"]
"""What an estimate supports.

found: interval, control and corrected p agree that there is an effect. weak: the value lies outside its control, where
there is one, and interval or p agrees. not found: the value lies inside its control, or neither interval nor p agrees.
not tested: a description, or a number without interval and p.
"""
ORDER: tuple[Verdict, ...] = ("found", "weak", "not found", "not tested")


@dataclass(frozen=True)
class Control:
    """What the same measure is where no effect is expected.

    Args:
        what: noun phrase in the plural: "feature sets of the same firing rate".
        mean: their mean, in the estimate's unit.
        low: 2.5th percentile of the draws, or the lower end of the control's own interval.
        high: 97.5th percentile, or the upper end.
        draws: how many draws; 0 where it is one measurement with an interval.
    """

    what: str
    mean: float
    low: float
    high: float
    draws: int = 0

    @classmethod
    def of(cls, what: str, row: Mapping[str, Any], column: str = "control", draws: str = "draws") -> "Control | None":
        """The control that a table's row holds, in `column`, its `_low` and `_high`; null where it holds none."""
        if row[column] is None or not math.isfinite(row[column]) or not row[draws]:
            return None
        return cls(what, row[column], row[f"{column}_low"], row[f"{column}_high"], row[draws])


@dataclass(frozen=True)
class Source:
    """Where the value stands: a table of the analysis, the columns that name its row, and the column."""

    table: str
    key: Mapping[str, Any]
    column: str


@dataclass(frozen=True)
class Estimate:
    """One number with its evidence.

    Args:
        name: unique within its analysis and the same in every study: "shift.en"; the metric in MLflow.
        quantity: noun phrase: "shift of the concept's first word toward the other side".
        value: NaN where it could not be measured.
        unit: "nats", "nats per token", "AUROC", …; "share" is printed in percent, "points" as percentage points.
        n: how many units were counted.
        counted: what they are, with the split: "test images".
        source: where the value stands.
        interval: ends of the 95 % interval; null where they are not numbers, as those of one unit.
        control: the same measure where no effect is expected.
        null: the value where there is no effect.
        sides: of the test and of the interval; 1: only values above `null` are an effect.
        p: of the test against the control.
        q: corrected over `family`.
        family: noun phrase: "3 layers × 2 languages".
        draws: random draws behind p, below whose resolution no p exists; 0 for a p that is computed.
        split: the split that the value was measured on; what was chosen was chosen on another.
        layer: null for a number over layers.
        language: null for a number over languages.
        condition: noun phrase of what was done and where: "5 features set to zero at every position".
        chosen: how the layer or feature was chosen: "the layer of the highest AUROC on the selection split".
        answers: whether it answers its analysis's question, in its language.
        described: a description, of which no effect is claimed.
        caveats: noun phrases or short sentences, the strongest first.
        planted: what was planted, where the world is known.
    """

    name: str
    quantity: str
    value: float
    unit: str
    n: int
    counted: str
    source: Source
    interval: tuple[float, float] | None = None
    control: Control | None = None
    null: float = 0.0
    sides: Literal[1, 2] = 2
    p: float | None = None
    q: float | None = None
    family: str = ""
    draws: int = 0
    split: str = "test"
    layer: int | None = None
    language: str | None = None
    condition: str = ""
    chosen: str = ""
    answers: bool = False
    described: bool = False
    caveats: tuple[str, ...] = ()
    planted: str = ""

    def __post_init__(self) -> None:
        ends = self.interval or ()
        if not ends or any(end is None or not math.isfinite(end) for end in ends):
            object.__setattr__(self, "interval", None)

    @property
    def corrected(self) -> float | None:
        """q, or p where its family is one test."""
        return self.p if self.q is None else self.q

    @property
    def beyond_null(self) -> bool:
        """Whether the interval leaves `null` out, on a side that counts."""
        if self.interval is None:
            return False
        low, high = self.interval
        return low > self.null or (self.sides == 2 and high < self.null)

    @property
    def beyond_control(self) -> bool:
        """Whether the value lies outside the control's interval, on a side that counts."""
        if self.control is None:
            return False
        return self.value > self.control.high or (self.sides == 2 and self.value < self.control.low)

    @property
    def significant(self) -> bool:
        """Whether the corrected p is at most 5 %."""
        return self.corrected is not None and self.corrected <= ALPHA

    @property
    def verdict(self) -> Verdict:
        """What the evidence supports: nothing is found without a control, and nothing inside it is weak."""
        if self.described or not math.isfinite(self.value) or (self.interval is None and self.corrected is None):
            return "not tested"
        inside = self.control is not None and not self.beyond_control
        if inside or not (self.beyond_null or self.significant):
            return "not found"
        return "found" if self.beyond_null and self.beyond_control and self.significant else "weak"

    def as_json(self) -> dict[str, Any]:
        """Fields as JSON takes them: NaN is null."""
        return _plain(asdict(self))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Estimate":
        """The estimate that `as_json` wrote."""
        known = dict(fields)
        known["value"] = math.nan if known["value"] is None else known["value"]
        known["source"] = Source(**known["source"])
        known["interval"] = tuple(known["interval"]) if known["interval"] else None
        known["control"] = Control(**known["control"]) if known["control"] else None
        known["caveats"] = tuple(known["caveats"])
        return cls(**known)


def number_of(number: int, what: str) -> str:
    """ "1 layer", "3 layers": for `family` and `condition`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def verdict_of(estimates: Iterable[Estimate]) -> Verdict:
    """The strongest verdict among some estimates; "not tested" without any."""
    return min((one.verdict for one in estimates), key=ORDER.index, default="not tested")


def measured(estimates: Iterable[Estimate]) -> dict[str, float]:
    """Values, interval ends, p and q as flat numbers, by the estimates' names; what is not finite is left out."""
    flat: dict[str, float | None] = {}
    for one in estimates:
        low, high = one.interval or (None, None)
        flat |= {one.name: one.value, f"{one.name}.low": low, f"{one.name}.high": high}
        flat |= {f"{one.name}.p": one.p, f"{one.name}.q": one.q}
    return {name: float(value) for name, value in flat.items() if value is not None and math.isfinite(value)}


_COLUMNS: dict[str, Any] = {
    **dict.fromkeys(("name", "quantity"), pl.String),
    "layer": pl.Int64,
    "language": pl.String,
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    "unit": pl.String,
    "n": pl.Int64,
    "counted": pl.String,
    "control": pl.String,
    **dict.fromkeys(("control_mean", "control_low", "control_high"), pl.Float64),
    "draws": pl.Int64,
    **dict.fromkeys(("p", "q"), pl.Float64),
    "family": pl.String,
    "sides": pl.Int64,
    "split": pl.String,
    **dict.fromkeys(("condition", "chosen", "verdict", "table", "key", "column"), pl.String),
    "answers": pl.Boolean,
}


def as_table(estimates: Iterable[Estimate]) -> pl.DataFrame:
    """One row an estimate, with its verdict and where it stands (`key`: `column=value` of the row, by commas)."""
    return pl.DataFrame([_row(one) for one in estimates], schema=_COLUMNS)


def _row(one: Estimate) -> dict[str, Any]:
    low, high = one.interval or (None, None)
    control = one.control
    found = {name: getattr(one, name) for name in _COLUMNS if hasattr(one, name) and name != "control"}
    found |= {"low": low, "high": high, "table": one.source.table, "column": one.source.column}
    found["key"] = ", ".join(f"{name}={value}" for name, value in one.source.key.items())
    if control is not None:
        found |= {"control": control.what, "control_mean": control.mean}
        found |= {"control_low": control.low, "control_high": control.high}
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
