"""Batches of captions, and the words that a caption and its counterpart differ in."""

from core.causal.runs import portions


def test_portions_hold_no_more_than_their_tokens_once_padded() -> None:
    cut = portions([5, 9, 3, 9, 40], 20)
    assert sorted(index for part in cut for index in part) == [0, 1, 2, 3, 4]
    assert all(len(part) * max([5, 9, 3, 9, 40][i] for i in part) <= 20 or len(part) == 1 for part in cut)
