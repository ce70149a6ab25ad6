"""One sparse autoencoder per layer."""

import json
from collections.abc import Mapping
from pathlib import Path

from core.data.samples import read_samples
from core.progress import Progress
from core.sae.formats import Origin, save_sae
from core.sae.metrics import Quality
from core.sae.rows import load_rows
from core.sae.training import train
from core.study.sae import SAEConfig
from tasks.capture import open_table
from tasks.context import Work
from tasks.mlflow_sae import log_sae
from tasks.models import device_of, model_name


def train_sae(work: Work) -> Mapping[str, float]:
    """Train the layer's SAE or frozen dictionary from where its checkpoint stands; write it in SAELens' layout."""
    layer = int(work.recipe["layer"])
    config = SAEConfig.model_validate({**work.recipe["sae"], **work.unit.knobs})
    table = open_table(work, work.input("layer"), layer)
    rows = load_rows(table, read_samples(work.input("samples")), config).to(device_of(work))
    trained = train(rows, config, work.checkpoint, _curves(work))
    origin = Origin(model_name(work), layer, table.site, frozen_decoder=config.frozen_decoder)
    save_sae(trained.sae, work.out, origin, trained.quality.firing_rate)
    trained.history.write_parquet(work.out / "history.parquet", statistics=False)
    write_quality(trained.quality, work.out)
    log_sae(work, table.d_model)
    return trained.quality.metrics


def write_quality(quality: Quality, folder: Path) -> None:
    """Write the figures of an autoencoder, and on how many rows how many of its features fired."""
    text = json.dumps(quality.metrics, indent=1, sort_keys=True) + "\n"
    (folder / "metrics.json").write_text(text, encoding="utf-8")
    quality.l0.write_parquet(folder / "l0.parquet", statistics=False)


_CURVES = ("fvu", "loss", "l0", "dead", "learning_rate")
"""What is drawn by step in MLflow; its compare view opens with the first of them."""


def _curves(work: Work) -> Progress:
    def progress(done: int, total: int, metrics: dict[str, float] | None = None) -> None:
        work.progress(done, total, {name: metrics[name] for name in _CURVES} if metrics else None)

    return progress
