"""The feature index of a layer: which rows each feature fires on, and how strongly."""

import json
from collections.abc import Mapping

from core.data.samples import read_samples
from core.features.build import build_index
from core.sae.formats import load_sae
from core.sae.origins import ORIGIN, read_origin
from core.study.model import IndexConfig
from tasks.capture import open_table
from tasks.context import Work
from tasks.models import device_of


def index_features(work: Work) -> Mapping[str, float]:
    """Encode every row of the layer and write the index by row, by feature, and each feature's statistics."""
    table = open_table(work, work.input("layer"), int(work.recipe["layer"]))
    sae = load_sae(work.input("sae")).to(device_of(work))
    config = IndexConfig.model_validate(work.recipe["index"])
    origin = read_origin(work.input("sae"))
    if origin is not None:
        (work.out / ORIGIN).write_text(json.dumps(origin, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return build_index(sae, table, read_samples(work.input("samples")), config, work.out, work.progress)
