"""Numbers in sentences: Western digits, a real minus sign, and the ends of an interval behind a value."""

import math
import re
from collections.abc import Mapping
from typing import Any

_MINUS = "−"
_LEAST_POWER = -4
"""The least power of ten of a number that is written as a decimal."""
_HYPHEN = re.compile(r"(?<![\w\d)\]])-(?=\d)")


def number(value: float | None, places: int = 3) -> str:
    """A number in Western digits with a real minus; zero has no sign.

    What rounds to zero at `places` has two significant digits: as a decimal, and below 10^-4 with its power of ten.
    """
    if value is None or not math.isfinite(value):
        return "–" if value is None or math.isnan(value) else ("∞" if value > 0 else f"{_MINUS}∞")
    text = f"{value:,.{places}f}"
    if not float(text.replace(",", "")):
        text = _small(value) if value else text.removeprefix("-")
    return text.replace("-", _MINUS)


def _small(value: float) -> str:
    """A number that rounds to zero, with two significant digits."""
    mantissa, power = f"{value:.1e}".split("e")
    if int(power) < _LEAST_POWER:
        return f"{mantissa}·10^{int(power)}"
    return f"{value:.{1 - int(power)}f}"


def with_ends(row: Mapping[str, Any], column: str, places: int = 3) -> str:
    """A row's value and its interval, `column`, `column_low`, `column_high`: "−2.85 [−3.33, −2.37]"."""
    value, low, high = (number(row[f"{column}{end}"], places) for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def beside_frozen(row: Mapping[str, Any], places: int = 3) -> str:
    """What a row's `beyond_frozen` says, on either side of 0."""
    return f"difference to the frozen dictionary's: {with_ends(row, 'beyond_frozen', places)}"


def real_minus(words: str) -> str:
    """The words with the minus sign in place of each hyphen that makes a number negative; "k-2" and "1-2" stay."""
    return _HYPHEN.sub(_MINUS, words)
