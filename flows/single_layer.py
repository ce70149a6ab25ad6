"""One layer of a study alone: its table, its SAE and its index, and what needs no other layer; the rest is reused."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from prefect import flow
from pydantic import Field

from core.errors import BadInput
from core.planning.graph import Plan
from core.planning.one_layer import plan_layer
from core.planning.study import Study
from core.store.steps import EXTRACT_LAYER, INDEX_FEATURES
from core.store.units import Unit
from flows.failures import log_crash
from flows.full_analysis import prepare_and_capture
from flows.study_run import StudyRun, study_run
from flows.titles import run_name
from tasks.registry import STEPS


@flow(name="single-layer", flow_run_name=run_name, log_prints=False, on_crashed=[log_crash])
def single_layer(
    layer: Annotated[int, Field(ge=0)] = 17,
    study: Study | str = "demo",
    cluster: str = "threads",
    refresh: bool = False,
    analyses: bool = False,
) -> dict[str, str]:
    """Extract, train and index one layer of a study; with `analyses` also analyse it and write its report.

    The frozen dictionary of a study that wants one is trained and indexed too.

    Args:
        layer: the decoder layer, counted from 0.
        study: a study file, or its fields.
        cluster: a profile of deployments/clusters.
        refresh: set the present SAE and index aside, compute them again and compare checksums.
        analyses: run the study's analyses that need one layer only, on this layer, and write a report of it.

    Returns:
        For each unit `same`, `different` (after a refresh) or its artefact's reference.
    """
    with study_run(study, cluster, STEPS, layer) as run:
        if run.survey.layers is not None:
            _check(layer, run.survey.layers)
        prepare_and_capture(run)
        own = _units_of(run.plan, layer)
        before = _set_aside(run, (*own.saes, *own.indices)) if refresh else {}
        run.make("extract_layer", (own.extract,))
        run.make(own.saes[0].step, own.saes)
        run.make("index_features", own.indices)
        more = _analyse(run, layer) if analyses else ()
        made = (own.extract, *own.saes, *own.indices, *more)
        return {unit.label: _verdict(run, unit, before) for unit in made}


def _analyse(run: StudyRun, layer: int) -> tuple[Unit, ...]:
    run.layer_plan = plan_layer(run.plan, layer)
    for stage, units in run.layer_plan.stages.items():
        run.make(stage, units)
    return (*run.layer_plan.analyses, run.layer_plan.report)


def _check(layer: int, layers: Sequence[int]) -> None:
    if layer not in layers:
        raise BadInput(f"layer: {layer} is not among the study's layers ({', '.join(map(str, layers))})")


class _LayerUnits(NamedTuple):
    """A layer's table, its SAE and frozen dictionary (where the study wants one), and their indices."""

    extract: Unit
    saes: tuple[Unit, ...]
    indices: tuple[Unit, ...]


def _units_of(plan: Plan, layer: int) -> _LayerUnits:
    _check(layer, plan.layers)
    if plan.stage("choose_sae"):
        raise BadInput("sae: the study trains several SAEs per layer; say which one is meant, as in --set sae.k=16")
    naming, found = plan.naming, plan.naming.dictionaries_of(layer)
    indices = tuple(naming.named(INDEX_FEATURES, one.name) for one in found)
    return _LayerUnits(naming.of_layer(EXTRACT_LAYER, layer), tuple(one.sae for one in found), indices)


def _set_aside(run: StudyRun, units: tuple[Unit, ...]) -> dict[str, object]:
    store = run.settings.workspace.store
    present = [unit for unit in units if store.intact(unit.artifact)]
    files = {unit.label: store.manifest(unit.artifact)["files"] for unit in present}
    for unit in present:
        store.set_aside(unit.artifact)
    return files


def _verdict(run: StudyRun, unit: Unit, before: dict[str, object]) -> str:
    if unit.label not in before:
        return unit.artifact.ref
    after = run.settings.workspace.store.manifest(unit.artifact)["files"]
    return "same" if after == before[unit.label] else "different"
