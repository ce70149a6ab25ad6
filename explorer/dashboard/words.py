"""Numbers and names as pages write them."""

import math
import re
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

_RIGHT_TO_LEFT = {"ar"}
_ARABIC = r"\u0600-\u06FF\u0750-\u077F\uFB50-\uFDFD\uFE70-\uFEFC"
_RUN = re.compile(rf"[{_ARABIC}]+(?:[ \u200c\u200d]+[{_ARABIC}]+)*")
_SMALL = {"p", "q"}
_BETWEEN_0_AND_1 = {"auroc", "cosine", "correlation", "jaccard"}
_NAMES = {
    "auroc": "AUROC",
    "fvu": "FVU",
    "l0": "L0",
    "idf": "IDF",
    "sae": "SAE",
    "held_out_fvu": "FVU",
    "held_out_l0": "L0",
    "associated_language": "language",
    "associated_set": "positions",
    "position_set": "positions",
}


def number(value: Any, digits: int = 3) -> str:
    """A number with three significant digits and a real minus; a dash for none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if not isinstance(value, float):
        return str(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size and (size < 1e-3 or size >= 1e6):
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}·10{_raised(int(power))}".replace("-", "−")
    places = max(0, digits - 1 - math.floor(math.log10(size))) if size else 0
    return f"{value:,.{places}f}".replace("-", "−")


def moment(seconds: float) -> str:
    """A time to the minute, in UTC; a dash for none."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC" if seconds else "–"


def probability(value: float | None) -> str:
    """p or q: three decimals, or that it is below what they show."""
    if value is None or math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def compared(value: float) -> str:
    """The same behind its letter: `= 0.005`."""
    return probability(value) if value < 0.001 else f"= {probability(value)}"


def fixed(value: float | None) -> str:
    """A measure between 0 and 1 with three decimals."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}".replace("-", "−")


def percent(value: float | None) -> str:
    """A share in percent."""
    return "–" if value is None or math.isnan(value) else f"{number(100 * float(value), 2)} %"


def interval(row: Any, value: str = "value", low: str = "low", high: str = "high") -> str:
    """A row's number with its interval, where it has one."""
    said = fixed if value in _BETWEEN_0_AND_1 else number
    ends = row.get(low), row.get(high)
    shown = said(row.get(value))
    return shown if None in ends else f"{shown} [{said(ends[0])}, {said(ends[1])}]"


def name(column: str) -> str:
    """A column's name as a heading."""
    words = _NAMES.get(column, column.replace("_", " "))
    return words if column in _SMALL else words[:1].upper() + words[1:]


def language(code: str | None) -> str:
    """A language's name; rows without one are shared by all."""
    from core.data.languages import LANGUAGE_NAMES  # a study's sections, which a start need not wait for

    return "shared" if code in (None, "shared") else LANGUAGE_NAMES.get(str(code), str(code))


def direction(code: str | None) -> str:
    """The `dir` of text in a language: `auto` where the language is not known."""
    return "auto" if code is None else "rtl" if code in _RIGHT_TO_LEFT else "ltr"


def side(auroc: float | None, sides: tuple[str, str]) -> str:
    """The side of the concept on which a feature fires more."""
    return "" if auroc is None or math.isnan(auroc) else sides[0 if auroc > 0.5 else 1]


def token(text: str | None) -> str:
    """A token as it reads: sentencepiece's mark is a space, and a line break is seen."""
    return (text or "").replace("▁", " ").replace("\n", "⏎")


def isolated(text: str) -> Markup:
    """A sentence, escaped, whose Arabic words are set apart: neither script reorders the other."""
    parts, end = [], 0
    for run in _RUN.finditer(text):
        parts += [escape(text[end : run.start()]), Markup('<bdi lang="ar">{}</bdi>').format(run[0])]
        end = run.end()
    return Markup("").join([*parts, escape(text[end:])])


def _raised(power: int) -> str:
    return str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
