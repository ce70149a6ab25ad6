"""Tiny models with hook points, each opened once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.lm.language_model import LanguageModel
from tests.core.lm.hooked import KINDS, opened_with_hooks


@pytest.fixture(scope="session", params=KINDS)
def lm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return opened_with_hooks(request.param, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """The one of these that sees pictures."""
    return opened_with_hooks("gemma", tmp_path_factory.mktemp("gemma"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 60, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return sorted(folder.iterdir())
