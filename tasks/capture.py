"""Activations: the model run once a shard, then one layer's table out of all shards."""

from collections.abc import Mapping
from pathlib import Path

from core.activations.budget import PASS
from core.activations.capture import capture_shard
from core.activations.factory import capture_items
from core.activations.health import examine_layer
from core.activations.requests import CaptureJob, images_between
from core.activations.table import LayerTable
from core.data.samples import read_samples
from core.study.model import CaptureConfig
from tasks.context import Work
from tasks.models import open_model, open_own


def capture(work: Work) -> Mapping[str, float]:
    """Write the residual stream of every layer and language for one shard of images."""
    folder = work.input("samples")
    samples = images_between(read_samples(folder), *work.recipe["images"])
    images = folder if samples["image"].is_not_null().any() else None
    config = CaptureConfig.model_validate(
        {**work.recipe["capture"], **work.unit.knobs, "layers": work.recipe["layers"]}
    )
    job = CaptureJob(samples, images, _halved(config, work.context.memory_tier), instructions(work))
    if work.context.factory is not None:
        summary = capture_items(open_own(work), job, work.out, work.progress)
    else:
        summary = capture_shard(open_model(work), job, work.out, work.progress)
    return {
        "images": summary.images,
        "captions": summary.captions,
        "dropped": len({drop.sample_id for drop in summary.drops}),
    }


def _halved(config: CaptureConfig, times: int) -> CaptureConfig:
    """Batches half as large for every time that the shard ran out of memory; sums then differ in their last bits."""
    if not times:
        return config
    sizes = {"token_budget": config.token_budget or PASS, "batch_size": config.batch_size}
    return config.model_copy(update={name: max(1, size >> times) for name, size in sizes.items() if size})


def instructions(work: Work) -> dict[str, str]:
    """The instruction before a caption, by language."""
    asked = work.recipe["model"]
    return {language: str(asked.get(f"instruction_{language}", "")) for language in work.context.languages}


def extract_layer(work: Work) -> Mapping[str, float]:
    """Validate, count and measure one layer's rows; the rows themselves stay in the shards."""
    table = LayerTable.open(work.inputs("shards"), work.recipe["layer"])
    health = examine_layer(table, work.recipe["nonfinite"], work.recipe["max_norm_multiple"], work.progress)
    health.save(work.out)
    for warning in (*filter(None, [health.outliers.words(table.layer)]), *health.warnings):
        work.logger.warning(warning)
    return {
        "rows": health.rows,
        "nonfinite_rows": health.nonfinite_rows,
        "outlier_rows": health.outliers.table.height,
        "outlier_share": health.outliers.share,
        "scale": health.scale,
        "top_share": health.top_share,
        **({} if health.gamma is None else {"gamma": health.gamma}),
        **{f"mean_norm_{segment}": norm for segment, norm in health.mean_norm.items()},
    }


def open_table(work: Work, unit_folder: Path, layer: int) -> LayerTable:
    """One layer's table as `extract_layer` left it: without the rows that it dropped, outliers marked."""
    return LayerTable.open(work.inputs("shards"), layer, keep=unit_folder)
