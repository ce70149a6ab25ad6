"""Fixtures that several rooms' tests share; each section has one owner."""

from pathlib import Path

import pytest

# --- tiny models (owner: tests/core/lm) ---


@pytest.fixture(scope="session")
def tiny_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random Gemma3ForConditionalGeneration with processor; window 7, image block 16."""
    from tests.core.lm.tiny import save_tiny_gemma

    return save_tiny_gemma(tmp_path_factory.mktemp("tiny-gemma"))


@pytest.fixture(scope="session")
def tiny_text_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random Gemma3ForCausalLM with tokenizer, without chat template; window 7."""
    from tests.core.lm.tiny import save_tiny_text_gemma

    return save_tiny_text_gemma(tmp_path_factory.mktemp("tiny-text-gemma"))
