"""The analyses: one task each, all made by the same hand from the registry."""

import json
from collections.abc import Mapping
from typing import Any

from prefect import Task

from core.analysis.registry import declared
from core.analysis.result import AnalysisInputs, LayerInputs, Result
from core.data.samples import analysed, capture_drops, read_samples
from core.features.index import FeatureIndex
from core.figures.writers import write_figure
from core.planning.steps import STEPS
from core.sae.formats import load_sae
from tasks.capture import instructions, open_table
from tasks.context import Work
from tasks.models import open_model
from tasks.step import step
from tasks.tracking import log_folder


def analysis_task(name: str) -> Task[..., dict[str, Any]]:
    """The Prefect task of one analysis of the registry."""
    analysis = declared()[name]

    def analyse(work: Work) -> Mapping[str, float]:
        config = analysis.config.model_validate(work.recipe["config"])
        result: Result = analysis.load_run()(_inputs(work), config)
        _write(work, result)
        charts = analysis.load_figures()(result.tables)
        for key, figure in charts.items():
            write_figure(figure, key, work.out / "figures")
        log_folder(work.context, work.run_id, work.out / "figures", "figures")
        return result.metrics

    analyse.__doc__ = analysis.question
    return step(STEPS[name])(analyse)


def _write(work: Work, result: Result) -> None:
    for name, table in result.tables.items():
        table.write_parquet(work.out / f"{name}.parquet", statistics=False)
    question = declared()[work.unit.step].question
    summary = {"question": question, **{key: value for key, value in vars(result).items() if key != "tables"}}
    text = json.dumps(summary, indent=1, ensure_ascii=False, default=dict)
    (work.out / "summary.json").write_text(text + "\n", encoding="utf-8")


def _inputs(work: Work) -> AnalysisInputs:
    folder = work.input("samples")
    samples = analysed(read_samples(folder), capture_drops(work.inputs("shards")))
    truth = folder / "truth.json"
    layers = tuple(int(layer) for layer in work.recipe["layers"])
    return AnalysisInputs(
        samples=samples,
        images=folder if samples["image"].is_not_null().any() else None,
        truth=json.loads(truth.read_text(encoding="utf-8")) if truth.is_file() else None,
        layers=layers,
        languages=work.context.languages,
        open_layer=lambda layer: _open_layer(work, layers.index(layer), layer),
        open_model=lambda: open_model(work),
        instructions=instructions(work),
        seed=0,
        progress=work.progress,
    )


def _open_layer(work: Work, place: int, layer: int) -> LayerInputs:
    table = open_table(work, work.inputs("layer")[place], layer)
    return LayerInputs(
        layer, table, load_sae(work.inputs("sae")[place]), FeatureIndex.open(work.inputs("index")[place])
    )


ANALYSIS_STEPS = {name: analysis_task(name) for name in declared()}
