"""The planted model that several causal analyses are tried on, made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.causal.causal_world import CausalWorld, causal_world


@pytest.fixture(scope="session")
def causal(tiny_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CausalWorld]:
    """Twelve pairs of twins to choose on and eight to test on; modules that need another world make their own."""
    with causal_world(tiny_gemma, tmp_path_factory.mktemp("causal") / "w", {"select": 12, "test": 8}) as opened:
        yield opened
