"""Which features of an autoencoder fire on captions and pictures that are no study's, captured as a study's are."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch

from core.activations.capture import capture_shard
from core.activations.requests import CaptureJob
from core.activations.table import LayerTable
from core.errors import BadInput
from core.lm.loaded import LoadedModel
from core.sae.architectures import SparseAutoencoder

ENTRIES = pl.Schema({"index": pl.Int64, "feature": pl.UInt32, "value": pl.Float32})
"""Active features: `index` is the row's number, `value` the activation."""


class Fired(NamedTuple):
    """The rows' tokens (`core.activations.tokens.layer_tokens`), and what fires on them (`ENTRIES`)."""

    tokens: pl.DataFrame
    entries: pl.DataFrame


@torch.no_grad()
def fired(loaded: LoadedModel, sae: SparseAutoencoder, job: CaptureJob, folder: Path) -> Fired:
    """Run the model once over the job's captions, of one layer, and encode every row; `folder` is empty, for the rows.

    Raises:
        BadInput: a caption cannot be used (too long, empty, without its BOS), or an image cannot be read.
    """
    summary = capture_shard(loaded, job, folder)
    for drop in summary.drops:
        raise BadInput(drop.reason)
    (layer,) = summary.layers
    table = LayerTable.open([folder], layer)
    code = sae.encode(table.block(0, len(table)))
    values, features = code.values.numpy(), code.indices.numpy()
    row, place = np.nonzero(values > 0)
    entries = {"index": row, "feature": features[row, place], "value": values[row, place]}
    return Fired(table.tokens, pl.DataFrame(entries).cast(ENTRIES))
