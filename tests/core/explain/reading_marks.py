"""An independent reader of marked texts: what stands between the marks, and between them, out of the text alone."""

_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "0": ""}


def read_back(text: str) -> list[tuple[str, bool]]:
    """The stretches of a marked text in their order, each with whether it is one marked token."""
    stretches: list[tuple[str, bool]] = []
    inside, current, place = False, "", 0
    while place < len(text):
        char = text[place]
        if char == "\\":
            code = text[place + 1]
            if code == "u":
                current += chr(int(text[place + 2 : place + 6], 16))
                place += 6
                continue
            current += _CONTROL.get(code, code)
            place += 2
            continue
        if char in "⟦⟧":
            assert (char == "⟧") is inside, "marks are not nested"
            if current or inside:
                stretches.append((current, inside))
            inside, current = not inside, ""
        else:
            current += char
        place += 1
    assert not inside, "a mark is not closed"
    return [*stretches, (current, False)] if current else stretches
