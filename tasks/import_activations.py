"""Activations made elsewhere, in place of a run of the model."""

from collections.abc import Mapping
from pathlib import Path

from core.activations.precomputed import ImportJob, import_shard
from core.data.samples import read_samples
from tasks.context import Work


def import_activations(work: Work) -> Mapping[str, float]:
    """Copy the layers of a folder into one shard of the store."""
    job = ImportJob(
        folder=Path(work.unit.knobs["folder"]),
        samples=read_samples(work.input("samples")),
        layers=tuple(work.recipe["layers"]),
        site=work.recipe["capture"]["site"],
        segments=tuple(work.recipe["capture"]["segments"]),
    )
    summary = import_shard(job, work.out, work.progress)
    return {"images": summary.images, "captions": summary.captions, "dropped": len(summary.drops)}
