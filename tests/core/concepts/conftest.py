from pathlib import Path

import pytest

from tests.core.concepts.scan_world import Captured, capture, sentence_table


@pytest.fixture(scope="session")
def captured(tiny_text_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Captured:
    return capture(tiny_text_gemma, tmp_path_factory.mktemp("sentences"), sentence_table())
