"""An analysis of the registry, the same way for all of them."""

import json
from collections.abc import Mapping

from core.analysis.registry import planned
from core.analysis.result import Result
from core.features.inputs import AnalysisInputs
from core.features.row_groups import RowGrouper
from core.figures.writers import write_figure
from core.stats.estimate import measured
from tasks.capture import instructions
from tasks.code import LOADING
from tasks.context import Work
from tasks.layer import open_sibling, open_view, studied
from tasks.models import open_model
from tasks.tracking import log_folder


def analyse(work: Work) -> Mapping[str, float]:
    """Run the analysis that the unit is of, and write its tables, its summary and its figures."""
    analysis = planned(work.unit.step, work.recipe.get("distribution"))
    config = analysis.config.model_validate(work.recipe["config"])
    with LOADING:
        run, figures = analysis.load_run(), analysis.load_figures()
    inputs = _inputs(work)
    result: Result = run(inputs, config)
    _write(work, result, analysis.question_of(inputs.concept))
    charts = figures(result.tables, inputs.concept) if analysis.figures_name_concept else figures(result.tables)
    for key, figure in charts.items():
        write_figure(figure, key, work.out / "figures")
    log_folder(work.context, work.run_id, work.out / "figures", "figures")
    return {**result.metrics, **measured(result.estimates)}


def _write(work: Work, result: Result, question: str) -> None:
    for name, table in result.tables.items():
        table.write_parquet(work.out / f"{name}.parquet", statistics=False)
    summary = {"question": question, **{key: value for key, value in vars(result).items() if key != "tables"}}
    summary["estimates"] = [estimate.as_json() for estimate in result.estimates]
    text = json.dumps(summary, indent=1, ensure_ascii=False, default=dict)
    (work.out / "summary.json").write_text(text + "\n", encoding="utf-8")


def _inputs(work: Work) -> AnalysisInputs:
    folder = work.input("samples")
    shared, truth = studied(work), folder / "truth.json"
    samples, concept = shared.samples, shared.concept
    grouper = RowGrouper(samples, concept)
    frozen, seeds = ("frozen_sae" in work.unit.inputs), ("seeds" in work.unit.inputs)
    return AnalysisInputs(
        samples=samples,
        images=folder if samples["image"].is_not_null().any() else None,
        truth=json.loads(truth.read_text(encoding="utf-8")) if truth.is_file() else None,
        layers=tuple(int(layer) for layer in work.recipe["layers"]),
        languages=work.context.languages,
        open_layer=lambda layer: open_view(work, layer, shared, grouper),
        open_frozen=(lambda layer: open_view(work, layer, shared, grouper, frozen=True)) if frozen else None,
        open_sibling=(lambda layer: open_sibling(work, layer)) if seeds else None,
        open_model=lambda: open_model(work),
        instructions=instructions(work),
        seed=int(work.recipe["seed"]),
        progress=work.progress,
        concept=concept,
    )
