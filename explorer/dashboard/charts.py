"""Small charts over layers, drawn as SVG on the server: no script, one colour scheme for dark and light."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 34


class Point(NamedTuple):
    """A value at a place of the x axis, with its interval and the address that it leads to."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    link: str | None = None


class Line(NamedTuple):
    """A series: its name, the class of its colour, and its points in order."""

    name: str
    css: str
    points: Sequence[Point]


class Mark(NamedTuple):
    """A point as drawn: pixels, what it says, and where it leads."""

    x: float
    y: float
    words: str
    link: str | None


class Drawn(NamedTuple):
    """A series as drawn: the line's and the band's path."""

    name: str
    css: str
    path: str
    band: str
    marks: Sequence[Mark]


class Tick(NamedTuple):
    """A place of an axis in pixels, and its number."""

    at: float
    words: str


class Chart(NamedTuple):
    """A chart as the template writes it; `reference` is the height of a dashed line."""

    title: str
    words: str
    x_title: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    lines: Sequence[Drawn]
    reference: float | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


class Scale(NamedTuple):
    """From values to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The place of a value, to a tenth of a pixel."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 1)


class Frame(NamedTuple):
    """What a chart says of itself: title, x axis, the ends that its y axis has at least, and a reference value."""

    title: str
    x_title: str
    ends: tuple[float, float] | None = None
    reference: float | None = None


def line_chart(frame: Frame, lines: Sequence[Line]) -> Chart | None:
    """The chart of these series; null where no series has a point."""
    lines = [line for line in lines if line.points]
    points = [point for line in lines for point in line.points]
    if not points:
        return None
    x_low, x_high = min(one.x for one in points), max(one.x for one in points)
    pad = 0.5 if x_high == x_low else 0.0
    x = Scale(x_low - pad, x_high + pad, _LEFT + 8, WIDTH - _RIGHT - 6)
    ends = [end for one in points for end in (one.y, one.low, one.high) if end is not None and math.isfinite(end)]
    held = (*(frame.ends or ()), *(() if frame.reference is None else (frame.reference,)))
    marks = nice([*ends, *held])
    y = Scale(marks[0], marks[-1], HEIGHT - _BOTTOM, _TOP)
    return Chart(
        frame.title,
        _words(frame, lines),
        frame.x_title,
        [Tick(x(value), _tick(value)) for value in _whole(x_low, x_high)],
        [Tick(y(value), _tick(value)) for value in marks],
        [_drawn(line, x, y, frame.x_title) for line in lines],
        None if frame.reference is None else y(frame.reference),
    )


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def bars(counts: Sequence[int], height: float = 100.0) -> list[tuple[float, float]]:
    """The top and the height of each bar of a histogram, in percent of its height; counts by square root, so that few
    strong rows are seen beside many weak ones."""
    roots = [math.sqrt(count) for count in counts]
    top = max(roots, default=0) or 1
    return [(round(height - height * root / top, 2), round(height * root / top, 2)) for root in roots]


def nice(values: Sequence[float], most: int = 5) -> list[float]:
    """Round numbers in equal steps that enclose the values."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - abs(low or 1) / 2, high + abs(high or 1) / 2
    raw = (high - low) / most
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * unit for unit in (1, 2, 2.5, 5, 10) if power * unit >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _whole(low: float, high: float) -> list[float]:
    """Whole numbers of the x axis between its ends."""
    if high == low:
        return [low]
    step = max(1, math.ceil((high - low) / 8))
    return [float(value) for value in range(math.ceil(low), math.floor(high) + 1, step)]


def _drawn(line: Line, x: Scale, y: Scale, x_title: str) -> Drawn:
    path = " ".join(f"{'L' if place else 'M'}{x(one.x)} {y(one.y)}" for place, one in enumerate(line.points))
    banded = [one for one in line.points if one.low is not None and one.high is not None]
    edges = [(x(one.x), y(one.high or 0)) for one in banded] + [(x(one.x), y(one.low or 0)) for one in banded[::-1]]
    band = " ".join(f"{'L' if place else 'M'}{across} {down}" for place, (across, down) in enumerate(edges))
    marks = [Mark(x(one.x), y(one.y), _said(line, one, x_title), one.link) for one in line.points]
    return Drawn(line.name, line.css, path, f"{band} Z" if len(banded) > 1 else "", marks)


def _said(line: Line, point: Point, x_title: str) -> str:
    ends = "" if point.low is None or point.high is None else f" [{point.low:.3g}, {point.high:.3g}]"
    return f"{x_title} {point.x:g}, {line.name}: {point.y:.3g}{ends}"


def _words(frame: Frame, lines: Sequence[Line]) -> str:
    """What is read aloud in place of the chart: each series' ends."""
    said: Mapping[str, tuple[float, float]] = {
        line.name: (min(one.y for one in line.points), max(one.y for one in line.points)) for line in lines
    }
    ranges = "; ".join(f"{name} from {low:.3g} to {high:.3g}" for name, (low, high) in said.items())
    return f"{frame.title} by {frame.x_title.lower()}: {ranges}"
