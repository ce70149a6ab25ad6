"""The analyses: one task each, all made by the same hand from the registry."""

import json
from collections.abc import Mapping
from typing import Any

from prefect import Task

from core.analysis.declaration import Analysis
from core.analysis.registry import declared, planned
from core.analysis.result import Result
from core.data.known_concepts import THE_CONCEPT
from core.features.inputs import AnalysisInputs
from core.features.row_groups import RowGrouper
from core.figures.writers import write_figure
from core.planning.steps import STEPS
from core.stats.estimate import measured
from tasks.capture import instructions
from tasks.context import Work
from tasks.layer import analysed_samples, open_view
from tasks.models import open_model
from tasks.step import step
from tasks.tracking import log_folder


def analysis_task(name: str) -> Task[..., dict[str, Any]]:
    """The Prefect task of one analysis of the registry.

    A task crosses to Dask's workers by value. It holds nothing of the analysis's package: a worker that lacks it could
    not even read the task, and would be lost with it.
    """

    def analyse(work: Work) -> Mapping[str, float]:
        return _analyse(work)

    analyse.__doc__ = declared()[name].question
    return step(STEPS[name])(analyse)


def _analyse(work: Work) -> Mapping[str, float]:
    analysis = planned(work.unit.step, work.recipe.get("distribution"))
    config = analysis.config.model_validate(work.recipe["config"])
    result: Result = analysis.load_run()(_inputs(work), config)
    _write(work, result, analysis)
    charts = analysis.load_figures()(result.tables)
    for key, figure in charts.items():
        write_figure(figure, key, work.out / "figures")
    log_folder(work.context, work.run_id, work.out / "figures", "figures")
    return {**result.metrics, **measured(result.estimates)}


def _write(work: Work, result: Result, analysis: Analysis) -> None:
    for name, table in result.tables.items():
        table.write_parquet(work.out / f"{name}.parquet", statistics=False)
    summary = {"question": analysis.question, **{key: value for key, value in vars(result).items() if key != "tables"}}
    summary["estimates"] = [estimate.as_json() for estimate in result.estimates]
    text = json.dumps(summary, indent=1, ensure_ascii=False, default=dict)
    (work.out / "summary.json").write_text(text + "\n", encoding="utf-8")


def _inputs(work: Work) -> AnalysisInputs:
    folder = work.input("samples")
    samples, truth = analysed_samples(work), folder / "truth.json"
    grouper = RowGrouper(samples, THE_CONCEPT)
    return AnalysisInputs(
        samples=samples,
        images=folder if samples["image"].is_not_null().any() else None,
        truth=json.loads(truth.read_text(encoding="utf-8")) if truth.is_file() else None,
        layers=tuple(int(layer) for layer in work.recipe["layers"]),
        languages=work.context.languages,
        open_layer=lambda layer: open_view(work, layer, grouper, samples),
        open_model=lambda: open_model(work),
        instructions=instructions(work),
        seed=int(work.recipe["seed"]),
        progress=work.progress,
        concept=THE_CONCEPT,
    )


ANALYSIS_STEPS = {name: analysis_task(name) for name in declared()}
