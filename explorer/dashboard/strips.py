"""Tokens coloured by activation: spans inside one run of text, so that Arabic letters join across them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from explorer.dashboard import words

LEVELS = 10


class Piece(NamedTuple):
    """Text of one shade; `level` 0 has none, `words` are what hovering shows."""

    text: str
    level: int
    words: str


class Strip(NamedTuple):
    """A text with its direction and its shaded pieces."""

    language: str | None
    direction: str
    pieces: tuple[Piece, ...]


def strip(tokens: Iterable[Mapping[str, Any]], language: str | None, strongest: float) -> Strip:
    """The strip of tokens (`token`, `value`), shaded by their share of `strongest`."""
    pieces: list[Piece] = []
    for one in tokens:
        text, value = words.token(one["token"]), float(one["value"] or 0)
        level = level_of(value, strongest)
        if level == 0 and pieces and pieces[-1].level == 0:
            pieces[-1] = Piece(pieces[-1].text + text, 0, "")
        else:
            pieces.append(Piece(text, level, words.number(value) if level else ""))
    if pieces:
        pieces[0] = pieces[0]._replace(text=pieces[0].text.lstrip())
    return Strip(language, words.direction(language), tuple(pieces))


def level_of(value: float, strongest: float) -> int:
    """The shade of an activation: 1 to 10, and 0 where the feature is not active."""
    if value <= 0 or strongest <= 0:
        return 0
    return max(1, min(LEVELS, round(LEVELS * value / strongest)))
