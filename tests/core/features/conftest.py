from pathlib import Path

import pytest

from core.features.build import build_index
from core.features.index import FeatureIndex
from core.study.model import IndexConfig
from tests.core.features.planted_layer import Layer, make_layer

CONFIG = IndexConfig(top_rows=6, neighbours=4)


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Layer:
    return make_layer(tmp_path_factory.mktemp("layer"))


@pytest.fixture(scope="session")
def index(layer: Layer, tmp_path_factory: pytest.TempPathFactory) -> FeatureIndex:
    out: Path = tmp_path_factory.mktemp("index") / "built"
    build_index(layer.sae, layer.table, layer.samples, CONFIG, out)
    return FeatureIndex.open(out)
