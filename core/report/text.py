"""Numbers and words as a reader sees them; Arabic found by its letters and set right to left."""

import difflib
import math
import re
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from core.stats.written import number as number

_ARABIC = r"\u0600-\u06FF\u0750-\u077F\uFB50-\uFDFD\uFE70-\uFEFC"
# A run: Arabic words and what stands between them.
_RUN = re.compile(rf"[{_ARABIC}]+(?:[\s\u200c\u200d،؛.:()«»\-–]+[{_ARABIC}]+)*")
_LETTER = re.compile(r"[^\W\d_]")
_ARABIC_LETTER = re.compile(rf"[{_ARABIC}]")


def is_arabic(text: str) -> bool:
    """Whether most letters of the text are Arabic."""
    letters = len(_LETTER.findall(text))
    return 2 * len(_ARABIC_LETTER.findall(text)) > letters > 0


def direction(text: str) -> Markup:
    """The attributes of an element that holds only this text: ` dir="rtl" lang="ar"`, or none."""
    return Markup(' dir="rtl" lang="ar"') if is_arabic(text) else Markup("")


def mixed(text: object) -> Markup:
    """A sentence, escaped, whose Arabic words are set apart: neither language reorders the other."""
    parts: list[Markup] = []
    plain = str(text)
    end = 0
    for run in _RUN.finditer(plain):
        arabic = Markup('<bdi dir="rtl" lang="ar">{}</bdi>').format(run[0])
        parts += [escape(plain[end : run.start()]), arabic]
        end = run.end()
    return Markup("").join([*parts, escape(plain[end:])])


def token_text(token: str) -> str:
    """A token as it reads: sentencepiece's mark is a space."""
    return token.replace("▁", " ")


def decimals(values: Iterable[float]) -> int:
    """How many decimals a column needs for three significant digits of its middling values."""
    sizes = sorted(abs(value) for value in values if value and math.isfinite(value))
    if not sizes:
        return 2
    return min(4, max(0, 2 - math.floor(math.log10(sizes[len(sizes) // 2]))))


def p_value(value: float | None) -> str:
    """A probability: three decimals, or that it is below what they show."""
    if value is None or math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def seconds(value: float) -> str:
    """A duration: `3.2 s`, `4 min 05 s`, `2 h 10 min`."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def changed_words(before: str, after: str) -> list[tuple[str, bool]]:
    """`after` in pieces, each with whether it differs from `before`, compared word by word."""
    old, new = before.split(), after.split()
    pieces: list[tuple[str, bool]] = []
    for kind, _, _, start, stop in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if stop > start:
            pieces.append((" ".join(new[start:stop]), kind != "equal"))
    return pieces


def strip_weights(values: Sequence[float]) -> list[float]:
    """Values scaled to −1…1 by the largest of them."""
    top = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return [value / top if top and math.isfinite(value) else 0.0 for value in values]
