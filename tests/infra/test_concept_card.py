"""The data card of the shipped sentences: its figures are those of the files, and its aims are met."""

from collections import Counter

import polars as pl
import pytest

from core.concepts.families import LABELS
from infra.concept_card import FOLDER, GivenAway, concepts, given_away

CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
SENTENCES = dict(concepts())


def carded(name: str) -> GivenAway:
    """The measures in the card's row of this concept."""
    (row,) = (line for line in CARD.splitlines() if line.startswith(f"| {name} |"))
    return GivenAway(*map(float, row.strip("| ").split(" | ")[4:]))


def test_the_card_has_a_row_for_each_concept() -> None:
    assert sorted(SENTENCES) == ["aggression", "aggression-ar", "bravery", "dishonesty"]
    assert all(f"| {name} | {len(table)} | {table['family'].n_unique()} |" in CARD for name, table in SENTENCES.items())


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_the_cards_figures_are_those_of_the_sentences(name: str) -> None:
    found, written = given_away(SENTENCES[name]), carded(name)
    assert found == pytest.approx(written, abs=0.02)  # rounding, and other releases of scikit-learn
    assert max(abs(found.words_rho), abs(found.characters_rho)) <= 0.1
    assert found.words_present <= 0.65


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_every_scene_has_each_label_once_and_the_halves_are_balanced(name: str) -> None:
    table = SENTENCES[name]
    for _, scene in table.group_by("family"):
        assert sorted(scene["label"]) == list(LABELS)
    counts = Counter(table.select("split", "label").rows())
    assert set(counts.values()) == {21}
    assert set(table["source"]) == {"written for saeflow"}


def test_a_word_that_tells_and_a_length_that_tells_are_found() -> None:
    table = SENTENCES["aggression"]
    word = pl.when(pl.col("label") >= 2).then(pl.lit(" kick kick kick kick kick kick")).otherwise(pl.lit(""))
    found = given_away(table.with_columns(pl.col("sentence") + word))
    assert min(found.words_present, found.words_clean, found.characters_present, found.characters_clean) > 0.95
    assert min(found.words_rho, found.characters_rho) > 0.3
