"""The table of sentences of the study smollm2-text."""

from infra.text_table import sentences

POSTS = [
    "She  hit me with\nthe newspaper. I was shocked by what she did! Why?",
    "I was shocked by what she did! " + " ".join(["word"] * 41) + ". Then we moved to another flat.",
]


def test_posts_are_cut_into_sentences_once_each_and_stay_together() -> None:
    """What is shorter than five words or longer than forty is left out."""
    table = sentences(POSTS, 10)
    assert list(table.iter_rows()) == [
        ("She hit me with the newspaper.", "post0000"),
        ("I was shocked by what she did!", "post0000"),
        ("Then we moved to another flat.", "post0001"),
    ]


def test_a_smaller_table_is_drawn_evenly() -> None:
    """A table cut after the first posts would hold those alone."""
    many = [f"This is the sentence of number {number}." for number in range(100)]
    assert sentences(many, 4)["pair_id"].to_list() == ["post0000", "post0025", "post0050", "post0075"]
