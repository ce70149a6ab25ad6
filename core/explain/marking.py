"""Tokens of a text between marks, so that the marks can be read back to exactly these tokens."""

import re
from collections.abc import Collection, Sequence

OPEN, CLOSE = "⟦", "⟧"
"""What stands around a marked token. Each marked token has marks of its own, two neighbours have two pairs."""
_ESCAPED = re.compile(r"[\\⟦⟧\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def marked(tokens: Sequence[str], active: Collection[int]) -> str:
    """The text on one line with the tokens numbered `active` between marks.

    A backslash or mark that is part of a token, and what would break the line, is written with a backslash; a token
    without text, as a part of a character can be, is written `\\0`: a reader finds every token again.
    """
    chosen = set(active)
    return "".join(
        f"{OPEN}{written(token)}{CLOSE}" if number in chosen else written(token) for number, token in enumerate(tokens)
    )


def written(token: str) -> str:
    """A token as it stands in a marked text; never empty."""
    return _ESCAPED.sub(_escaped, token) or r"\0"


def plain(tokens: Sequence[str]) -> str:
    """The text without marks, on one line."""
    return " ".join("".join(tokens).split())


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    if char in "\\" + OPEN + CLOSE:
        return "\\" + char
    return _SHORT.get(char, f"\\u{ord(char):04x}")
