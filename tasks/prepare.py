"""Samples, and the model where it comes as a package."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from core.data.samples import prepare
from core.lm.gguf import convert_package
from core.store.steps import CONVERT_MODEL, PREPARE
from core.study.data import DataSource
from tasks.context import Work
from tasks.step import step

_SOURCE: TypeAdapter[DataSource] = TypeAdapter(DataSource)


@step(PREPARE)
def prepare_samples(work: Work) -> Mapping[str, float]:
    """Write the samples, what was dropped of them and why."""
    source = dict(work.recipe["data"])
    if source["source"] == "table":
        source["path"] = work.unit.knobs["path"]
    summary = prepare(_SOURCE.validate_python(source), Path(work.context.data_base), work.out, work.progress)
    for note in summary.notes:
        work.logger.warning("%s", note)
    for language, count in summary.ambiguous.items():
        if count:
            work.logger.info("%s: %d captions allow another label; ambiguous.parquet lists them", language, count)
    counts = {"rows": summary.rows, "samples": summary.samples, "dropped": summary.dropped}
    return {**counts, "images": summary.images}


@step(CONVERT_MODEL)
def convert_model(work: Work) -> Mapping[str, float]:
    """Turn a GGUF package into a transformers checkpoint, once."""
    convert_package(work.recipe["package"], work.out)
    return {}
