"""Where a feature fires by language and position set, in the sets of the concept that its study asks about."""

from typing import Any

import polars as pl

from core.errors import BadInput
from core.features.indexed_layer import IndexedFeature
from core.reading.study import OpenedStudy
from explorer.reading.kept import Kept

_KINDS: Kept[Any] = Kept(4)
"""What kind each row of a layer is: 30 bytes a row."""


def positions(study: OpenedStudy, layer: int, own: IndexedFeature) -> pl.DataFrame:
    """How often and how strongly a feature of a layer fires by language and position set, where it does: the columns of
    `core.features.statistics.POSITIONS`.

    The index, which studies of several concepts share, has the sets of the built-in one. Those of another concept are
    counted again.
    """
    if not study.config.get("concepts"):
        return own.positions
    from core.data.known_concepts import THE_CONCEPT  # a study's sections, which a start need not wait for

    try:
        if study.concept.name == THE_CONCEPT.name:
            return own.positions
        samples, concept = study.samples, study.concept
    except BadInput:  # its samples are gone: pages speak of the built-in concept then
        return own.positions
    from core.activations.positions import position_sets  # PyTorch: other studies need not wait for it
    from core.features.statistics import RowKinds, positions_of

    read = study.layer_artifacts(layer)
    key = (study.samples_artifact, read.shards, read.table, str(study.config["concepts"][0]))
    kinds = _KINDS.get(key, lambda: RowKinds.of(own.rows, position_sets(own.rows, samples, concept)))
    return positions_of(own.feature, *own.index.csc(own.feature), kinds)
