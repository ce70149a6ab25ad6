"""Planted layers in memory, shared by the tests of the analyses that read them."""

import pytest

from core.features.inputs import AnalysisInputs
from tests.core.features.planted_world import World, make_inputs, read_planted_sets


@pytest.fixture
def planted_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Position sets are read from the planted tokens' own column."""
    monkeypatch.setattr("core.features.row_groups.position_sets", read_planted_sets)


@pytest.fixture
def world(planted_sets: None) -> AnalysisInputs:
    return make_inputs(World())
