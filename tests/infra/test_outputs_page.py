from pathlib import Path

import pytest

from infra.outputs_page import page


@pytest.mark.timeout(900)  # it may be the one that runs the study
def test_every_file_and_column_of_a_study_has_words(mini_workspace: Path) -> None:
    silent = [line for line in page(mini_workspace).splitlines() if line.endswith(": ?")]
    assert silent == [], "infra/outputs_words.yaml"
