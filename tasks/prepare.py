"""The samples of a study."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from core.data.samples import prepare
from core.study.data import DataSource
from tasks.context import Work

_SOURCE: TypeAdapter[DataSource] = TypeAdapter(DataSource)


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
