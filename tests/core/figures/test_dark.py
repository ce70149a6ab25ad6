import re

import pytest

from core.data.known_concepts import THE_CONCEPT
from core.figures import theme
from core.figures.dark import GROUND, dark_rules

MARKS = {
    *theme.SERIES,
    *theme.CONTROLS,
    *theme.POSITIONS,
    *theme.LANGUAGES.values(),
    *theme.SEGMENTS.values(),
    *THE_CONCEPT.colours.values(),
    theme.MEASURED,
    theme.REFERENCE,
}


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def shown(colour: str, attribute: str = "fill") -> str:
    """The colour that the rules give a mark; its own where there is none."""
    found = re.search(rf'\[{attribute}="{colour}" i\]{{{attribute}:(#\w+)}}', dark_rules(".vega"))
    return found[1] if found else colour


@pytest.mark.parametrize("colour", sorted(MARKS))
def test_every_colour_of_the_theme_is_seen_on_the_dark_ground(colour: str) -> None:
    assert contrast(shown(colour), GROUND) >= 3
    assert shown(colour, "stroke") == shown(colour)


@pytest.mark.parametrize("colour", [theme.INK, theme.MUTED])
def test_words_are_read_on_the_dark_ground(colour: str) -> None:
    assert contrast(shown(colour), GROUND) >= 4.5


def test_letters_on_pale_areas_stay_dark_and_print_stays_light() -> None:
    rules = dark_rules(".vega")
    assert theme.ON_PALE not in rules and theme.ON_PALE != theme.INK
    assert rules.startswith("@media screen and (prefers-color-scheme:dark)")
