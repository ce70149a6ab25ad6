"""Figures on a dark page: style rules that give a chart's inks and colours what reads on a dark ground.

Vega writes each colour into the attribute `fill` or `stroke` of its SVG, where a rule of the page outranks it. So a
chart follows the reader's scheme at once and without being drawn again, and prints and exports as it was written.
"""

from collections.abc import Iterator

from core.figures.theme import GRID, INK, MUTED, REFERENCE

GROUND = "#14181d"
"""The page behind charts, in dark."""
_DARK = {
    INK: "#e6e9ed",
    MUTED: "#a9b3bd",
    REFERENCE: "#7d8894",
    GRID: "#2b323a",
    # Colours of marks whose contrast to the dark ground is below 3:1, lighter in the same hue.
    "#5B3A8C": "#a78bd6",
    "#8C510A": "#c98a3d",
    "#AA3377": "#d765a5",
    "#0072B2": "#3d9bd6",
    "#C03A2B": "#e2604f",
    "#228833": "#3fae54",
    "#8A7F70": "#a1968a",
    "#6E7781": "#8c96a1",
}


def dark_rules(place: str) -> str:
    """CSS that recolours the SVG charts below the selector `place` where the scheme is dark; print stays light.

    White grounds and the white lines between areas become the page's ground; white letters on a coloured area stay, and
    so do `theme.ON_PALE` letters.
    """
    rules = "\n".join(_rules(place))
    return f"@media screen and (prefers-color-scheme:dark){{\n{rules}\n}}"


def _rules(place: str) -> Iterator[str]:
    yield f"{place} svg.marks{{background-color:{GROUND}!important}}"  # Vega sets it in the element's own style
    yield f'{place} svg.marks [stroke="white"]{{stroke:{GROUND}}}'
    yield f'{place} svg.marks :not(text)[fill="white"]{{fill:{GROUND}}}'
    for light, shown in _DARK.items():
        for attribute in ("fill", "stroke"):
            yield f'{place} svg.marks [{attribute}="{light}" i]{{{attribute}:{shown}}}'
