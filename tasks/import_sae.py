"""Someone else's SAE of a layer, measured on the rows that ours is trained on."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from core.data.samples import read_samples
from core.sae.formats import Origin, save_sae
from core.sae.metrics import final_metrics
from core.sae.origins import Trained, origin_warnings, read_trained
from core.sae.pretrained import open_pretrained
from core.sae.rows import load_rows
from core.sae.training import HISTORY
from core.study.sae import SAEConfig
from tasks.capture import open_table
from tasks.context import Work
from tasks.mlflow_sae import log_sae
from tasks.models import device_of, model_name
from tasks.train import write_quality


def import_sae(work: Work) -> Mapping[str, float]:
    """Read the SAE, whatever its layout, measure it, and write it as one of ours; its training curves stay empty."""
    layer = int(work.recipe["layer"])
    table = open_table(work, work.input("layer"), layer)
    config = SAEConfig.model_validate(work.recipe["rows"])
    rows = load_rows(table, read_samples(work.input("samples")), config).to(device_of(work))
    folder = Path(work.unit.knobs["folder"])
    sae = open_pretrained(folder, table.d_model, work.logger.info).to(device_of(work))
    quality = final_metrics(sae, rows)
    trained = _trained(work, folder, f"{table.site} of {model_name(work)}")
    origin = Origin(trained.other_model or model_name(work), layer, table.site, trained=trained)
    save_sae(sae, work.out, origin, quality.firing_rate)
    pl.DataFrame(schema=HISTORY).write_parquet(work.out / "history.parquet", statistics=False)
    write_quality(quality, work.out)
    log_sae(work, table.d_model)
    return quality.metrics


def _trained(work: Work, folder: Path, used_on: str) -> Trained:
    """Where it was trained, as the plan read it; logged where that is another place than it is used on."""
    planned = work.recipe["trained"]
    metadata, differs = read_trained(folder).metadata, tuple(planned["differs"])
    trained = Trained(planned["model"], planned["hook"], metadata, differs, planned["other_model"])
    for warning in origin_warnings(str(folder), {int(work.recipe["layer"]): trained}, used_on):
        work.logger.warning(warning)
    return trained
