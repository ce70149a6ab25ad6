from pathlib import Path

import pytest

from infra.file_map import README, file_map, with_map
from infra.outputs_page import page


def test_the_file_map_is_the_tree_of_today() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == with_map(text), "python -m infra.file_map"


def test_every_file_of_the_house_says_what_it_is() -> None:
    assert "core/planning/graph.py " in file_map()
    assert "cli/main.py " in file_map()


@pytest.mark.timeout(900)  # it may be the one that runs the study
def test_every_file_and_column_of_a_study_has_words(mini_workspace: Path) -> None:
    silent = [line for line in page(mini_workspace).splitlines() if line.endswith(": ?")]
    assert silent == [], "infra/outputs_words.yaml"
