"""The one writer of findings: an estimate in a sentence that claims what its evidence supports, and no more."""

import math
from collections.abc import Iterable

from core.data.languages import LANGUAGE_NAMES
from core.stats.estimate import Control, Estimate, Verdict, verdict_of
from core.stats.written import number, real_minus

LEADS: dict[Verdict, str] = {
    "found": "Found",
    "weak": "Weak",
    "not found": "Not found",
    "not tested": "Measured",
}
_PLACES = {"AUROC": 3, "share": 1, "points": 1}


def sentence(one: Estimate) -> str:
    """The estimate in words: what the evidence supports first, then the number, its control, p and all caveats."""
    return " ".join([_found(one), *map(_ended, one.caveats)])


def headline(one: Estimate) -> str:
    """The sentence with the first caveat alone, which is the strongest: where there is room for no more."""
    return " ".join([_found(one), *map(_ended, one.caveats[:1])])


def sentences(estimates: Iterable[Estimate]) -> tuple[str, ...]:
    """A sentence each, those that answer the question first."""
    ordered = sorted(estimates, key=lambda one: (not one.answers, reading_order(one.language) if one.answers else ()))
    return tuple(map(sentence, ordered))


def verdicts(estimates: Iterable[Estimate]) -> dict[str, Verdict]:
    """The verdict by language ("" where the answer is over languages), of the estimates that answer the question."""
    answers = [one for one in estimates if one.answers]
    languages = sorted({one.language or "" for one in answers}, key=reading_order)
    return {name: verdict_of(one for one in answers if (one.language or "") == name) for name in languages}


def reading_order(language: str | None) -> tuple[int, str]:
    """The languages' own order; what is over languages comes last."""
    known = list(LANGUAGE_NAMES)
    return (known.index(language) if language in known else len(known), language or "")


def _found(one: Estimate) -> str:
    lead = LEADS[one.verdict]
    where = ", ".join(filter(None, (LANGUAGE_NAMES.get(one.language or "", one.language), _layer(one))))
    subject = f"{one.quantity}{f', {real_minus(one.condition)}' if one.condition else ''}"
    found = f"{lead}{f' ({where})' if where else ''}: {subject}, {_value(one)}"
    return "; ".join(filter(None, [found, _compared(one), _probability(one), _planted(one)])) + "."


def _layer(one: Estimate) -> str:
    if one.layer is None:
        return one.chosen
    return f"layer {one.layer}{f', {one.chosen}' if one.chosen else ''}"


def _value(one: Estimate) -> str:
    if not math.isfinite(one.value):
        return f"could not be measured ({_counted(one)})"
    interval = f" [{', '.join(_number(end, one.unit) for end in one.interval)}]" if one.interval else ""
    unit = {"share": " %", "points": " percentage points"}.get(one.unit, f" {one.unit}" if one.unit else "")
    unit = "" if one.unit == "AUROC" else unit
    return f"{_number(one.value, one.unit)}{interval}{unit} ({_counted(one)})"


def _counted(one: Estimate) -> str:
    """ "100 test images", "1 test image"; a longer phrase stays as it is."""
    words = one.counted.removesuffix("s") if one.n == 1 and one.counted.startswith("test ") else one.counted
    return f"{one.n:,} {words}"


def _number(value: float, unit: str) -> str:
    if unit in ("share", "points"):
        value *= 100
    places = _PLACES.get(unit, 2 if abs(value) >= 0.1 or value == 0 else 3)
    return number(value, places)


def _compared(one: Estimate) -> str:
    control = one.control
    if control is None:
        return "" if one.described else "no control"
    relation = "beyond" if one.beyond_control else "not beyond"
    drawn = f"{control.draws} " if control.draws else ""
    return f"{relation} {drawn}{control.what} ({_span(control, one.unit)})"


def _span(control: Control, unit: str) -> str:
    ends = ", ".join(_number(end, unit) for end in (control.low, control.high))
    return f"{_number(control.mean, unit)} [{ends}]"


def _probability(one: Estimate) -> str:
    if one.p is None and one.q is None:
        return ""
    sided = "one-sided" if one.sides == 1 else "two-sided"
    parts = [] if one.p is None else [f"{sided} p {resolved(one.p, one.draws)}"]
    if one.q is not None:
        parts.append(f"q {resolved(one.q, 0)}{f' over {one.family}' if one.family else ''}")
    return ", ".join(parts)


def resolved(p: float, draws: int) -> str:
    """A probability with its relation: `= 0.032`, `< 0.001`, or `≤ 0.0099` at the resolution of `draws` draws."""
    if draws and p <= 1 / (draws + 1) * (1 + 1e-9):
        return f"≤ {1 / (draws + 1):.2g}"
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def _planted(one: Estimate) -> str:
    return f"planted: {one.planted}" if one.planted else ""


def _ended(caveat: str) -> str:
    words = real_minus(caveat[:1].upper() + caveat[1:])
    return words if words.endswith(".") else f"{words}."
