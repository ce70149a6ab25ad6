from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.explain.marking import marked, written
from tests.core.explain.reading_marks import read_back

TRICKY = st.sampled_from(
    ["⟦", "⟧", "\\", "\\⟦", "", "\n", "\u2028", "\\0", "\\n", " ⟦a⟧", "ـت", "ها", "\ufffd", "<0xD9>", "\u064e"]
)
TOKENS = st.lists(st.one_of(TRICKY, st.text(st.characters(exclude_categories=["Cs"]), max_size=4)), max_size=12)


def tokens_marked(text: str, tokens: Sequence[str]) -> list[int]:
    """Which tokens stand between marks, by walking along the text."""
    found, place = [], 0
    for number, token in enumerate(tokens):
        for form, active in ((f"⟦{written(token)}⟧", True), (written(token), False)):
            if text.startswith(form, place):
                found += [number] if active else []
                place += len(form)
                break
        else:
            raise AssertionError(f"token {number} is not there")
    assert place == len(text)
    return found


@given(TOKENS, st.data())
def test_marks_read_back_to_exactly_the_active_tokens(tokens: list[str], data: st.DataObject) -> None:
    active = data.draw(st.sets(st.integers(0, len(tokens) - 1))) if tokens else set()
    text = marked(tokens, active)
    assert tokens_marked(text, tokens) == sorted(active)
    stretches = read_back(text)
    assert [token for token, is_active in stretches if is_active] == [tokens[number] for number in sorted(active)]
    assert "".join(token for token, _ in stretches) == "".join(tokens)
    assert len(text.splitlines()) <= 1


@pytest.mark.parametrize("char", ["م", "😀", "é"])
def test_every_piece_of_a_character_of_several_bytes_can_be_marked(char: str) -> None:
    pieces = [f"<0x{byte:02X}>" for byte in char.encode()] + [char, "", "\ufffd", ""]
    for number in range(len(pieces)):
        assert tokens_marked(marked(pieces, [number]), pieces) == [number]


def test_neighbours_have_marks_of_their_own() -> None:
    assert marked([" ال", "كتاب", "."], [0, 1]) == "⟦ ال⟧⟦كتاب⟧."
